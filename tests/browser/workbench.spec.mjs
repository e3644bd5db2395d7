// A first visit loads a small program; what it cannot do it leaves to the workbench, which goes on from there.

import { expect, test } from '@playwright/test';
import { atRest, openRun, step } from './support.mjs';

/** A run that somebody looked at: some steps in, a node selected, a guess made. */
async function begun(page) {
  await openRun(page, { seed: 11 });
  await page.getByRole('radio', { name: 'B', exact: true }).check();
  for (let count = 0; count < 9; count += 1) await page.getByTestId('step').click();
  await page.getByTestId('node-2').click();
  // Gone if the page were loaded again.
  await page.evaluate(() => { window.stillHere = true; });
  return { at: await step(page), hash: await page.getByTestId('trace-hash').textContent() };
}

async function standsAs(page, { at, hash }) {
  await atRest(page);
  expect(await step(page)).toBe(at);
  await expect(page.getByTestId('trace-hash')).toHaveText(hash);
  await expect(page.getByTestId('seed')).toHaveValue('11');
  await expect(page.getByRole('radio', { name: 'B', exact: true })).toBeChecked();
  await expect(page.getByTestId('inspector')).toContainText('Node 2');
  expect(await page.evaluate(() => window.stillHere)).toBe(true);
}

test('a first visit loads one program, and the workbench goes on where it stood', async ({ page }) => {
  const loaded = [];
  page.on('request', (request) => request.url().endsWith('.wasm') && loaded.push(new URL(request.url()).pathname));
  const before = await begun(page);
  expect([...new Set(loaded)]).toEqual(['/phaselab_web_bg.wasm']);
  await page.getByTestId('share').click();
  await expect(page.getByTestId('share-panel')).toBeVisible();
  expect([...new Set(loaded)]).toContain('/workbench/phaselab_workbench_bg.wasm');
  await standsAs(page, before);
  await expect(page).toHaveURL(/#workbench&scenario=two-phase\/three-signers&seed=11$/);
  // Loaded again it is the workbench still, and does not share by itself.
  await page.reload();
  await atRest(page);
  await expect(page.getByTestId('open-deed')).toBeVisible();
  await expect(page.getByTestId('share-panel')).toHaveCount(0);
});

test('a key that changes the run is heard by the workbench', async ({ page }) => {
  const before = await begun(page);
  await page.keyboard.press('c');
  await expect(page.getByTestId('node-2')).toHaveClass(/standing-crashed/);
  expect(await step(page)).toBe(before.at);
  await page.keyboard.press('c');
  await expect(page.getByTestId('node-2')).toHaveClass(/standing-up/);
});

test('where the workbench cannot be loaded, the run stays and says so', async ({ page }) => {
  const before = await begun(page);
  await page.route('**/workbench/**', (route) => route.abort());
  await page.getByTestId('share').click();
  await expect(page.getByTestId('refusal')).toContainText('could not be loaded');
  await standsAs(page, before);
});

test('space-time, a form and a way to break the story are one click away from a first visit', async ({ page }) => {
  for (const [open, shown] of [['view-spacetime', 'spacetime'], ['open-deed', 'deed'], ['open-breakpoints', 'wait']]) {
    await page.goto('about:blank');
    await openRun(page);
    await page.getByTestId(open).click();
    await expect(page.getByTestId(shown)).toBeVisible();
  }
  await page.goto('about:blank');
  await openRun(page);
  await page.keyboard.press('End');
  await atRest(page);
  await page.getByTestId('break').first().click();
  await expect(page.getByTestId('future')).toHaveCount(2);
  await page.keyboard.press('End');
  await expect(page.getByTestId('outcome')).not.toBeEmpty();
});
