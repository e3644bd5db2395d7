// The pictures of README and docs, taken from the page as it is: npm run screenshots (after npm run build:page).

import { join } from 'node:path';
import { withPage } from './lib/page-server.mjs';
import { main } from './lib/process.mjs';
import { root } from './lib/workspace.mjs';

main(() =>
  withPage(async (address, browser) => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' });
    const keep = (name) => page.screenshot({ path: join(root, 'docs', `${name}.png`) });
    await stepped(page, address);
    await keep('three-signers');
    // Another program: only a page that is loaded anew asks for it.
    await page.goto('about:blank');
    await stepped(page, `${address}#workbench`);
    await page.getByTestId('view-spacetime').click();
    await page.getByTestId('spacetime').waitFor();
    await keep('space-time');
    await page.goto('about:blank');
    await held(page, `${address}#scenario=sharded-2pc/reference-transfer`);
    await keep('sharded');
    await page.goto('about:blank');
    await polled(page, `${address}#scenario=snowball/double-spend`);
    await keep('snowball');
    await page.goto('about:blank');
    await decided(page, `${address}?room=pictures#live`);
    await keep('live');
  }),
);

/** The default scenario, when two of three signers have locked A. */
async function stepped(page, address) {
  await page.goto(address);
  await page.getByTestId('play').waitFor();
  for (let step = 0; step < 16; step += 1) await page.getByTestId('step').click();
  await page.getByTestId('play').hover();
}

/** The reference transfer, when the money has left one cluster and not reached the other. */
async function held(page, address) {
  await page.goto(address);
  await page.getByTestId('play').waitFor();
  await page.locator('[data-testid=simulate][data-seeking=false]').waitFor();
  await page.getByTestId('scrubber').fill('107');
  await page.getByTestId('sum').getByText('on its way').waitFor();
}

/** A double spend while preferences differ, with the poll of a node. */
async function polled(page, address) {
  await page.goto(address);
  await page.getByTestId('play').waitFor();
  await page.locator('[data-testid=simulate][data-seeking=false]').waitFor();
  await page.getByTestId('scrubber').fill('900');
  await page.getByTestId('grid-number').fill('9');
  await page.getByTestId('poll-strip').waitFor();
}

/** A room of one tab whose three nodes have decided. */
async function decided(page, address) {
  await page.goto(address);
  for (const node of [1, 2, 3]) await page.locator(`[data-testid=live-node-${node}][data-standing=up]`).waitFor();
  await page.getByTestId('submit').click();
  for (const node of [1, 2, 3]) await page.locator(`[data-testid=live-node-${node}][data-phase=completed]`).waitFor();
}
