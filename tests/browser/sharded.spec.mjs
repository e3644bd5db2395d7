// The picture of sharded-2pc: clusters with their logs, the crown, the rail, items and their sum; simulated and live.

import { expect, test } from '@playwright/test';
import { allUp, atRest, freshRoom, openRun, openWorkbench, refuseErrors, violations } from './support.mjs';

const reference = { scenario: 'sharded-2pc/reference-transfer' };

/** Moves the clock of a run. */
async function seek(page, ms) {
  await page.getByTestId('scrubber').fill(String(ms));
  await atRest(page);
}

test('the reference transfer plays: the rail, the slots that reuse its seq, the items and their sum', async ({ page }) => {
  const errors = [];
  refuseErrors(page, errors);
  await openRun(page, reference);
  await expect(page.locator('[data-group]')).toHaveCount(3);
  await expect(page.getByTestId('rail')).toHaveAttribute('data-stage', '');
  await page.evaluate(() => {
    window.stages = new Set();
    const note = () => window.stages.add(document.querySelector('[data-testid=rail]')?.dataset.stage);
    new MutationObserver(note).observe(document.querySelector('#app'), { subtree: true, childList: true, attributes: true });
  });
  await page.getByTestId('speed').selectOption('2×');
  await page.getByTestId('play').click();
  await expect(page.getByTestId('rail')).toHaveAttribute('data-stage', 'done', { timeout: 20_000 });
  await atRest(page);
  expect(await page.evaluate(() => [...window.stages])).toEqual(['', 'locked', 'P', 'C', 'done']);
  await expect(page.getByTestId('chip-1001')).toHaveText('1001 90');
  await expect(page.getByTestId('chip-3001')).toHaveText('3001 60');
  await expect(page.getByTestId('sum')).toHaveText('Σ 150 = 150');
  await expect(page.getByTestId('sum')).toHaveAttribute('data-tone', 'holds');
  for (const cluster of [1, 2]) {
    const table = page.getByTestId(`slot-table-${cluster}`);
    await expect(table.locator('tbody tr')).toHaveCount(3);
    const prepared = table.locator('td[data-marker=P][data-standing=executed]');
    await expect(prepared).toHaveCount(3);
    const seq = await prepared.first().getAttribute('data-slot');
    await expect(table.locator(`td[data-marker=C][data-standing=executed][data-seq="${seq}"]`)).toHaveCount(3);
  }
  for (const leader of [1, 4, 7]) await expect(page.getByTestId(`crown-${leader}`)).toHaveCount(1);
  expect(errors).toEqual([]);
});

test('a hold shows until its outcome, and what is on its way is counted', async ({ page }) => {
  await openRun(page, reference);
  await seek(page, 103);
  await expect(page.getByTestId('chip-1001')).toContainText('1001 100, 10 held, lock 2pc-1-1');
  await expect(page.getByTestId('rail-P')).toHaveAttribute('data-participant', 'true');
  await expect(page.getByTestId('rail-C')).toHaveAttribute('data-coordinator', 'false');
  await seek(page, 107);
  await expect(page.getByTestId('sum')).toHaveText('Σ 140 + 10 on its way = 150');
  await expect(page.getByTestId('sum')).toHaveAttribute('data-tone', 'holds');
});

test('the crown moves when whoever wears it is crashed by hand', async ({ page }) => {
  await openWorkbench(page, { scenario: 'sharded-2pc/leaders-killed' });
  await seek(page, 50);
  await expect(page.getByTestId('crown-1')).toHaveCount(1);
  await page.getByTestId('node-1').click();
  await page.getByTestId('crash').click();
  await page.getByTestId('end').click();
  await atRest(page);
  await expect(page.getByTestId('node-1')).toContainText('crashed');
  await expect(page.getByTestId('crown-1')).toHaveCount(0);
  await expect(page.getByTestId('slot-table-1').locator('xpath=ancestor::section').locator('[data-testid=crown-2], [data-testid=crown-3]')).toHaveCount(1);
});

test('the form has a sender, a receiver and an amount, a read, and no world to change', async ({ page }) => {
  await openWorkbench(page, reference);
  await page.locator('#open-deed').click();
  const verbs = await page.getByTestId('deed-verb').locator('option').allTextContents();
  expect(verbs).not.toContain('Change the world');
  await page.getByTestId('deed-verb').selectOption('Submit a request');
  await page.getByTestId('deed-text').fill('3001');
  await page.getByTestId('deed-also').fill('1001');
  await page.getByTestId('deed-number').fill('5');
  await seek(page, 120);
  await page.getByTestId('deed-do').click();
  await page.getByTestId('end').click();
  await atRest(page);
  await expect(page.getByTestId('chip-1001')).toHaveText('1001 95');
  await expect(page.getByTestId('chip-3001')).toHaveText('3001 55');
});

for (const [width, scheme] of [[1280, 'light'], [1280, 'dark'], [390, 'light'], [390, 'dark']]) {
  test(`nothing is in the way of anybody at ${width} px, ${scheme}`, async ({ browser }) => {
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: scheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    await openRun(page, reference);
    await seek(page, 104);
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    await context.close();
  });
}

test('a live room: a transfer commits, its leader is crashed from a tab, the crown moves, the next one commits', async ({ context }) => {
  test.setTimeout(60_000);
  const page = await context.newPage();
  const errors = [];
  refuseErrors(page, errors);
  await page.goto(`/?room=${freshRoom()}&protocol=sharded-2pc&nodes=6#live`);
  await allUp(page, 6);
  // Whose thread is ready first leads first.
  const crown = (but) => page.locator([1, 2, 3].filter((node) => node !== but).map((node) => `[data-testid=crown-${node}]`).join(', '));
  await expect(crown()).toHaveCount(1, { timeout: 15_000 });
  await page.getByTestId('submit').click();
  const submissions = page.getByTestId('submission');
  await expect(submissions.first()).toHaveAttribute('data-outcome', 'SUCCESS', { timeout: 15_000 });
  await expect(page.getByTestId('chip-1001')).toContainText('1001 90');
  await expect(page.getByTestId('chip-3001')).toContainText('3001 60');
  await expect(page.getByTestId('sum')).toHaveText('Σ 150 = 150');
  const leader = Number((await crown().getAttribute('data-testid')).replace('crown-', ''));
  await page.getByTestId(`crash-${leader}`).click();
  await expect(crown(leader)).toHaveCount(1, { timeout: 15_000 });
  await page.getByTestId('submit').click();
  await expect(submissions).toHaveCount(2);
  await expect(submissions.first()).toHaveAttribute('data-outcome', 'SUCCESS', { timeout: 25_000 });
  await expect(page.getByTestId('chip-1001')).toContainText('1001 80');
  await page.getByTestId('submit-way-1').click();
  await expect(submissions.first()).toContainText('item 1001 holds 80', { timeout: 15_000 });
  expect(errors).toEqual([]);
});
