// What paints before the program has arrived, and that its arrival moves nothing.

import { statSync } from 'node:fs';
import { expect, test } from '@playwright/test';
import { atRest } from './support.mjs';

test('the question is there without the program', async ({ page }) => {
  await page.route(/\.wasm$/, (route) => route.abort());
  await page.goto('/');
  await expect(page.getByRole('heading')).toHaveText('Three signers. One payment of 25. Node 3 built another version. Which one gets signed?');
  await expect(page.getByRole('img', { name: /Three nodes/ })).toBeVisible();
  await expect(page.getByText('This browser cannot run the page')).toBeVisible();
});

test('index.html is small', () => {
  expect(statSync(new URL('../../web/index.html', import.meta.url)).size).toBeLessThanOrEqual(30_000);
});

test('the program takes the place of the poster without a shift, and plays if it was asked to', async ({ page }) => {
  let release;
  const gate = new Promise((resolve) => (release = resolve));
  await page.route(/\.wasm$/, async (route) => {
    await gate;
    await route.continue();
  });
  await page.goto('/', { waitUntil: 'domcontentloaded' });
  await page.evaluate(() => {
    window.shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.shift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  const place = () => page.getByRole('heading', { level: 1 }).boundingBox();
  const before = await place();
  await page.getByRole('button', { name: /Play the story/ }).click();
  release();
  await expect(page.getByTestId('play')).toHaveText('Pause');
  expect(await place()).toEqual(before);
  expect(await page.evaluate(() => window.shift)).toBeLessThan(0.02);
  await page.keyboard.press('End');
  await atRest(page);
});
