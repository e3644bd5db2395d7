// The pictures of README and docs, taken from the page as it is: npm run screenshots (after npm run build:page).

import { join } from 'node:path';
import { withPage } from './lib/page-server.mjs';
import { main } from './lib/process.mjs';
import { root } from './lib/workspace.mjs';

main(() =>
  withPage(async (address, browser) => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' });
    await takeThreeSigners(page, address);
  }),
);

/** The default scenario, when two of three signers have locked A. */
async function takeThreeSigners(page, address) {
  await page.goto(address);
  await page.getByTestId('play').waitFor();
  for (let step = 0; step < 16; step += 1) await page.getByTestId('step').click();
  await page.getByTestId('play').hover();
  await page.screenshot({ path: join(root, 'docs', 'three-signers.png') });
}
