// The museum: every exhibit is listed, and each plays to a broken promise on the right and a kept one on the left.

import { expect, test } from '@playwright/test';
import { phaselab } from '../node/cli.mjs';
import { refuseErrors } from './support.mjs';

const exhibits = phaselab('museum');

async function openExhibit(page, id) {
  await page.goto(`/#museum=${id}`);
  await expect(page.getByTestId('museum')).toHaveAttribute('data-seeking', 'false', { timeout: 30_000 });
}

async function atEnd(page) {
  await page.getByTestId('end').click();
  await expect(page.getByTestId('museum')).toHaveAttribute('data-seeking', 'false', { timeout: 30_000 });
}

test('every exhibit is listed, and opens', async ({ page }) => {
  const errors = [];
  refuseErrors(page, errors);
  await page.goto('/');
  await page.getByTestId('mode-museum').click();
  await expect(page.getByTestId('exhibit')).toHaveCount(exhibits.length);
  const listed = page.getByTestId('exhibit');
  for (const [place, { id, story, invariant, term }] of exhibits.entries()) {
    for (const text of [id, story, invariant, term]) await expect(listed.nth(place)).toContainText(text);
  }
  await page.getByRole('link', { name: 'S0-F3', exact: true }).click();
  await expect(page.getByTestId('side-flawed')).toBeVisible();
  await page.getByRole('link', { name: 'All exhibits' }).click();
  await expect(page.getByTestId('exhibit')).toHaveCount(exhibits.length);
  await page.goto('/#museum=S0-F99');
  await expect(page.getByRole('status')).toHaveText('There is no exhibit S0-F99.');
  expect(errors).toEqual([]);
});

test('S0-F1 in two runs: agreement is broken with it, and kept without', async ({ page }) => {
  await openExhibit(page, 'S0-F1');
  const [left, right] = [page.getByTestId('side-hardened'), page.getByTestId('side-flawed')];
  for (const side of [left, right]) await expect(side.getByTestId('promise')).toHaveText('✓ agreement: holds');
  await page.getByTestId('speed').selectOption('16×');
  await page.getByTestId('play').click();
  await expect(right.getByTestId('promise')).toHaveText('✕ agreement: broken', { timeout: 30_000 });
  await expect(page.getByTestId('museum')).toHaveAttribute('data-seeking', 'false', { timeout: 30_000 });
  await expect(left.getByTestId('promise')).toHaveText('✓ agreement: holds');
  await expect(page.getByTestId('rule')).toContainText('A lock, and the quorum that brought it, bind every later round.');
  const phases = (side) => side.locator('.lane').evaluateAll((lanes) => lanes.map(({ dataset }) => dataset.phase));
  expect(await phases(left)).not.toEqual(await phases(right));
});

test('both sides go back and forth together', async ({ page }) => {
  await openExhibit(page, 'S0-F1');
  const shown = () => page.locator('.sides').innerText();
  const seen = [];
  for (let step = 0; step < 12; step += 1) {
    await page.getByTestId('step').click();
    seen.push(await shown());
  }
  expect(new Set(seen).size).toBeGreaterThan(6);
  for (let step = 10; step >= 0; step -= 1) {
    await page.getByTestId('back').click();
    expect(await shown(), `step ${step}`).toBe(seen[step]);
  }
  await page.getByTestId('scrubber').fill('800');
  await expect(page.getByTestId('museum')).toHaveAttribute('data-at', '800.000');
  await expect(page.getByTestId('scheduled')).toContainText('800 ms');
});

test('every exhibit ends as it is told', async ({ page }) => {
  test.setTimeout(180_000);
  for (const { id } of exhibits) {
    await openExhibit(page, id);
    await atEnd(page);
    await expect(page.getByTestId('side-flawed').getByTestId('promise'), id).toHaveAttribute('data-promise', 'broken');
    await expect(page.getByTestId('side-hardened').getByTestId('promise'), id).toHaveAttribute('data-promise', 'holds');
  }
});

test('hardened rules may refuse the configuration', async ({ page }) => {
  await openExhibit(page, 'S0-F25');
  await expect(page.getByTestId('refused')).toContainText('commit_quorum');
});

test('the first visit fetches neither checker nor museum', async ({ page }) => {
  const fetched = [];
  page.on('request', (request) => fetched.push(request.url()));
  await page.goto('/');
  await page.getByTestId('play').waitFor();
  expect(fetched.filter((url) => url.includes('checker'))).toEqual([]);
  await page.getByTestId('mode-museum').click();
  await expect(page.getByTestId('exhibit').first()).toBeVisible();
  expect(fetched.some((url) => url.endsWith('/checker/phaselab_bg.wasm'))).toBe(true);
});

test('the checker finds an exhibit again, and what it found plays', async ({ page }) => {
  await openExhibit(page, 'S0-F17');
  await page.getByTestId('check').click();
  await page.getByTestId('check-start').click();
  await expect(page.getByTestId('check-end')).toContainText('Broken: withdrawal', { timeout: 30_000 });
  await page.getByTestId('check-play').click();
  await expect(page.getByTestId('found')).toBeVisible();
  await atEnd(page);
  await expect(page.getByTestId('side-flawed').getByTestId('promise')).toHaveText('✕ withdrawal: broken');
  await expect(page.getByTestId('side-hardened').getByTestId('promise')).toHaveText('✓ withdrawal: holds');
  await page.getByRole('button', { name: 'Back to the exhibit' }).click();
  await expect(page.getByTestId('scheduled')).toBeVisible();
  // Without the flaw the same search finds nothing.
  await page.getByTestId('check-rules').selectOption('hardened');
  await page.getByTestId('check-start').click();
  await expect(page.getByTestId('check-end')).toContainText('complete within these bounds', { timeout: 30_000 });
});
