// "Why?" in the inspector: the causes of a decision, each of which leads to its step; and whom a missing one lacks.

import { expect, test } from '@playwright/test';
import { phaselab } from '../node/cli.mjs';
import { atRest, openRun, refuseErrors, step } from './support.mjs';

async function toEnd(page) {
  await page.getByTestId('end').click();
  await atRest(page);
}

async function ask(page, node) {
  await page.keyboard.press(String(node));
  await page.getByTestId('ask-why').click();
  await expect(page.getByTestId('why')).toBeVisible();
}

test('a decision is told as the command line tells it, and each cause leads to its step', async ({ page }) => {
  const errors = [];
  refuseErrors(page, errors);
  await openRun(page, { scenario: 'two-phase/three-signers' });
  await toEnd(page);
  await ask(page, 3);
  const { why } = phaselab('sim', 'three-signers', '--why', 'withdraw-1@3');
  expect(why.ended).toBe(true);
  const panel = page.getByTestId('why');
  await expect(panel).toContainText(why.summary);
  await expect(page.getByRole('heading', { name: 'Why? withdraw-1' })).toBeFocused();
  const lines = page.getByTestId('why-line');
  await expect(lines).toHaveCount(why.lines.length);
  for (const [place, { sentence, because }] of why.lines.entries()) {
    await expect(lines.nth(place)).toContainText(sentence);
    if (because.length > 0) {
      const from = because.map((at) => at + 1).join(', ');
      await expect(panel.getByRole('listitem').nth(place)).toContainText(`because of ${from}`);
    }
  }
  // The causes are marked among the events, of which those in sight are drawn.
  await page.getByTestId('events-all').click();
  for (const [place, { step: at, index }] of why.lines.entries()) {
    if (index === null) continue;
    await lines.nth(place).click();
    await atRest(page);
    await expect(page.locator(`[data-event="${at}.${index}"]`)).toHaveClass(/\bcause\b/);
  }
  const vote = why.lines.findIndex(({ kind }) => kind === 'vote');
  await lines.nth(vote).click();
  await atRest(page);
  expect(await step(page)).toBe(why.lines[vote].step + 1);
  await expect(panel).toContainText(why.summary);
  expect(errors).toEqual([]);
});

test('Escape closes the answer, then the inspector; the button that asked has the focus again', async ({ page }) => {
  await openRun(page, { scenario: 'two-phase/three-signers' });
  await toEnd(page);
  await ask(page, 1);
  await page.keyboard.press('Escape');
  await expect(page.getByTestId('why')).toHaveCount(0);
  await expect(page.getByTestId('ask-why')).toBeFocused();
  await page.keyboard.press('w');
  await expect(page.getByTestId('why')).toBeVisible();
  await page.keyboard.press('2');
  await expect(page.getByTestId('why')).toHaveCount(0);
  await page.keyboard.press('Escape');
  await expect(page.getByTestId('inspector')).toHaveCount(0);
});

test('a missing decision names the quorum and who is missing', async ({ page }) => {
  await openRun(page, { scenario: 'two-phase/max-retries' });
  await toEnd(page);
  await ask(page, 1);
  const { why } = phaselab('sim', 'max-retries', '--why', 'withdraw-1@1');
  expect(why.ended).toBe(false);
  const panel = page.getByTestId('why');
  for (const text of [why.summary, ...why.lacks.map(({ sentence }) => sentence)]) await expect(panel).toContainText(text);
  const missing = why.lacks.flatMap((lack) => lack.missing);
  expect(missing.map((member) => member.why)).toEqual(['crashed', 'crashed']);
  for (const { sentence } of missing) await expect(panel).toContainText(sentence);
});

test('the answer fits a narrow page', async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await openRun(page, { scenario: 'two-phase/three-signers' });
  await toEnd(page);
  await ask(page, 2);
  await expect(page.getByRole('heading', { name: 'Why? withdraw-1' })).toBeInViewport();
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(sideways).toBe(0);
  const line = page.getByTestId('why-line').last();
  await line.scrollIntoViewIfNeeded();
  expect((await line.boundingBox()).height).toBeGreaterThanOrEqual(44);
  await line.click();
  await atRest(page);
  expect(await step(page)).toBe(Number(await line.getAttribute('data-step')) + 1);
});
