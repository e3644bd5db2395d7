// The checker in the page: the numbers of the command line, live counts, a stop, and counterexamples that play.

import { expect, test } from '@playwright/test';
import { phaselab } from '../node/cli.mjs';
import { openWorkbench, refuseErrors } from './support.mjs';

async function openChecker(page, scenario) {
  await openWorkbench(page, { scenario });
  await page.getByTestId('check').click();
  await expect(page.getByTestId('checker')).toBeVisible();
}

const digits = async (locator) => Number((await locator.textContent()).replaceAll(',', ''));

test('divergent-views has the numbers of the command line', async ({ page }) => {
  const errors = [];
  refuseErrors(page, errors);
  await openChecker(page, 'two-phase/divergent-views');
  for (const crashes of ['0', '1']) {
    const expected = phaselab('check', 'divergent-views', '--rounds', '1', '--crashes', crashes);
    await page.getByTestId('check-crashes').selectOption(crashes);
    await page.getByTestId('check-start').click();
    await expect(page.getByTestId('check-end')).toContainText('complete within these bounds', { timeout: 30_000 });
    expect(await digits(page.getByTestId('check-distinct'))).toBe(expected.distinct);
    expect(await digits(page.getByTestId('check-generated'))).toBe(expected.generated);
    expect(await digits(page.getByTestId('check-depth'))).toBe(expected.depth);
    expect(await digits(page.getByTestId('check-waiting'))).toBe(0);
    await expect(page.getByTestId('check-bounds')).toContainText(`rounds below 1, ${crashes} crashes`);
  }
  expect(errors).toEqual([]);
});

test('a long search counts while it runs, and can be stopped', async ({ page }) => {
  await openChecker(page, 'two-phase/divergent-views');
  await page.getByTestId('check-rounds').selectOption('3');
  await page.getByTestId('check-crashes').selectOption('2');
  await page.getByTestId('check-start').click();
  await expect.poll(() => digits(page.getByTestId('check-distinct')), { timeout: 30_000 }).toBeGreaterThan(2_000);
  expect(await digits(page.getByTestId('check-waiting'))).toBeGreaterThan(0);
  expect(await digits(page.getByTestId('check-per-second'))).toBeGreaterThan(0);
  await expect(page.getByTestId('check-start')).toHaveText('Stop');
  await page.getByTestId('check-start').click();
  await expect(page.getByTestId('check-end')).toContainText('Stopped.');
  const count = await digits(page.getByTestId('check-distinct'));
  await page.waitForTimeout(500);
  expect(await digits(page.getByTestId('check-distinct'))).toBe(count);
});

test('closing the panel ends the search', async ({ page }) => {
  await openChecker(page, 'two-phase/three-signers');
  await page.getByTestId('check-rounds').selectOption('3');
  await page.getByTestId('check-start').click();
  await expect(page.getByTestId('check-distinct')).toBeVisible({ timeout: 30_000 });
  const worker = page.workers().find((thread) => thread.url().endsWith('checker.js'));
  const closed = worker.waitForEvent('close');
  await page.getByRole('button', { name: 'Close' }).click();
  await closed;
  await expect(page.getByTestId('checker')).toHaveCount(0);
});
