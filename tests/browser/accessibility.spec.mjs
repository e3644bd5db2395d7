// axe-core finds nothing to object to, in both modes, light and dark, wide and narrow.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from '@playwright/test';
import { allIn, allUp, atRest, freshRoom, openRun } from './support.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

async function check(page, state) {
  const violations = await page.evaluate(async (only) => {
    const { violations } = await window.axe.run(document, { runOnly: { type: 'tag', values: only }, rules: { 'target-size': { enabled: true } } });
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html} (${failureSummary})`).join(' | ')}`);
  }, tags);
  expect(violations, state).toEqual([]);
}

/** Nothing is wider than the window, and no control is smaller than a finger, or a pointer, needs. */
async function fits(page, width) {
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  const least = width < 720 ? 44 : 24;
  const small = await page.evaluate((px) => {
    const controls = [...document.querySelectorAll('button, select, a[href], input:not([type=range]):not([type=radio])')];
    const boxes = controls.map((control) => [control.outerHTML.slice(0, 120), control.getBoundingClientRect()]);
    return boxes.filter(([html, box]) => box.width > 1 && box.height < px && !html.includes('skip')).map(([html, box]) => `${html} ${box.height}`);
  }, least);
  expect(small).toEqual([]);
}

for (const colorScheme of ['light', 'dark']) {
  for (const [width, height] of [[1280, 800], [390, 844]]) {
    test.describe(`${colorScheme}, ${width} px`, () => {
      test.use({ colorScheme, viewport: { width, height } });

      test('the simulator', async ({ page }) => {
        await page.addInitScript(axe);
        await openRun(page);
        await check(page, 'at the start');
        for (const ms of [110, 125, 180]) {
          await page.getByTestId('scrubber').fill(String(ms));
          await check(page, `at ${ms} ms`);
        }
        await page.getByTestId('events-all').click();
        await page.getByTestId('node-2').click();
        await check(page, 'with the inspector');
        await page.keyboard.press('Escape');
        await openRun(page, { scenario: 'two-phase/late-joiner' });
        await check(page, 'with a node that is down');
        await page.keyboard.press('End');
        await atRest(page);
        await check(page, 'at the end of a run with faults');
      });

      test('a live room', async ({ page }) => {
        await page.addInitScript(axe);
        await page.goto(`/?room=${freshRoom()}#live`);
        await allUp(page);
        await check(page, 'an idle room');
        await page.getByTestId('submit').click();
        await allIn(page, 'completed');
        await check(page, 'a decided room');
        await page.getByTestId('crash-2').click();
        await page.getByTestId('node-2').click();
        await check(page, 'with a crashed node');
      });

      test('the museum', async ({ page }) => {
        await page.addInitScript(axe);
        await page.goto('/#museum');
        await expect(page.getByTestId('exhibit').first()).toBeVisible();
        await check(page, 'the exhibits');
        await fits(page, width);
        for (const id of ['S0-F1', 'S0-F8', 'S0-F25']) {
          await page.goto(`/#museum=${id}`);
          await expect(page.getByTestId('museum')).toHaveAttribute('data-seeking', 'false', { timeout: 30_000 });
          await check(page, `${id} at the start`);
          await page.getByTestId('end').click();
          await expect(page.getByTestId('side-flawed').getByTestId('promise')).toHaveAttribute('data-promise', 'broken');
          await check(page, `${id} at the end`);
          await fits(page, width);
        }
      });

      test('the checker', async ({ page }) => {
        await page.addInitScript(axe);
        await openRun(page, { scenario: 'two-phase/divergent-views' });
        await page.getByTestId('check').click();
        await check(page, 'before a search');
        await page.getByTestId('check-start').click();
        await expect(page.getByTestId('check-end')).toContainText('complete', { timeout: 30_000 });
        await check(page, 'after a search');
        await fits(page, width);
      });

      test('nothing sticks out, and fingers find every control', async ({ page }) => {
        await openRun(page);
        await page.getByTestId('scrubber').fill('125');
        await fits(page, width);
      });
    });
  }
}
