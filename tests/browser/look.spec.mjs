// Ways of looking at a run: space-time, the filtered list of events, help, presenter mode.

import { expect, test } from '@playwright/test';
import { atRest, drawn, openWorkbench, step } from './support.mjs';

test('space-time draws each message from where it was sent to where it ended, and a click goes there', async ({ page }) => {
  await openWorkbench(page);
  await page.getByTestId('scrubber').fill('130');
  await atRest(page);
  await page.getByTestId('view-spacetime').click();
  const told = await page.getByTestId('spacetime-told').textContent();
  const lines = page.getByTestId('st-message');
  expect(await lines.count()).toBe(Number(told.split(' ')[0]));
  await page.keyboard.press('s');
  await expect(page.getByTestId('lanes')).toBeVisible();
  await page.keyboard.press('s');
  const target = page.locator('[data-testid=st-message][data-step]').first();
  const [to, end] = [Number(await target.getAttribute('data-step')), await target.evaluate((line) => {
    const box = line.ownerSVGElement.getBoundingClientRect();
    const at = (name) => line[name].baseVal.value;
    return { x: box.x + at('x1') * 0.1 + at('x2') * 0.9, y: box.y + at('y1') * 0.1 + at('y2') * 0.9 };
  })];
  await page.mouse.click(end.x, end.y);
  await atRest(page);
  expect(await step(page)).toBe(to + 1);
  await expect(page.getByTestId('inspector')).toBeVisible();
});

test('space-time can be gone through by keyboard', async ({ page }) => {
  await openWorkbench(page);
  await page.getByTestId('scrubber').fill('130');
  await atRest(page);
  await page.getByTestId('play').focus();
  await page.keyboard.press('s');
  const slider = page.getByTestId('spacetime-choose');
  await slider.focus();
  await page.keyboard.press('Home');
  const first = await page.getByTestId('spacetime-chosen').textContent();
  await page.keyboard.press('ArrowRight');
  await expect(page.getByTestId('spacetime-chosen')).not.toHaveText(first);
  await expect(slider).toHaveAttribute('aria-valuetext', await page.getByTestId('spacetime-chosen').textContent());
  const before = await step(page);
  await page.keyboard.press('Tab');
  await expect(page.getByTestId('spacetime-go')).toBeFocused();
  await page.keyboard.press('Enter');
  await atRest(page);
  expect(await step(page)).toBeLessThan(before);
});

test('many messages are drawn on a canvas, and few elements are', async ({ page }) => {
  await openWorkbench(page, { scenario: 'two-phase/max-retries' });
  await page.getByTestId('end').click();
  await atRest(page);
  await page.getByTestId('view-spacetime').click();
  const messages = Number((await page.getByTestId('spacetime-told').textContent()).split(' ')[0]);
  expect(messages).toBeGreaterThan(150);
  const canvas = page.getByTestId('spacetime-canvas');
  await expect(canvas).toBeVisible();
  const inked = await canvas.evaluate((element) => {
    const { data } = element.getContext('2d').getImageData(0, 0, element.width, element.height);
    return data.filter((_, index) => index % 4 === 3 && data[index] > 0).length;
  });
  expect(inked).toBeGreaterThan(1000);
  expect(await page.evaluate(() => document.querySelectorAll('*').length)).toBeLessThan(3000);
});

test('a narrower stretch of time is the same clock for lanes and space-time', async ({ page }) => {
  await openWorkbench(page);
  await page.getByTestId('scrubber').fill('130');
  await atRest(page);
  const ticks = () => page.locator('.tick').allTextContents();
  const whole = await ticks();
  await page.getByTestId('play').focus();
  await page.keyboard.press('+');
  await page.keyboard.press('+');
  const lanes = await ticks();
  expect(lanes).not.toEqual(whole);
  await page.keyboard.press('s');
  expect(await ticks()).toEqual(lanes);
  await page.keyboard.press('-');
  await page.keyboard.press('-');
  expect(await ticks()).toEqual(whole);
});

test('the list of events is filtered by words, and has only the rows in sight', async ({ page }) => {
  await openWorkbench(page, { scenario: 'two-phase/max-retries' });
  await page.getByTestId('end').click();
  await atRest(page);
  await page.getByTestId('events-all').click();
  const all = Number(await page.getByTestId('events-count').textContent());
  expect(all).toBeGreaterThan(200);
  const rows = page.getByTestId('events').locator('li');
  expect(await rows.count()).toBeLessThanOrEqual(40);
  await expect(rows.last()).toHaveAttribute('aria-posinset', String(all));
  await expect(rows.last()).toHaveAttribute('aria-setsize', String(all));
  await page.getByTestId('events').evaluate((list) => (list.scrollTop = 0));
  await expect(rows.first()).toHaveAttribute('aria-posinset', '1');
  await expect(rows.first()).toBeInViewport();
  await page.getByTestId('play').focus();
  await page.keyboard.press('/');
  const field = page.getByTestId('events-filter');
  await expect(field).toBeFocused();
  await page.keyboard.type('node 1 timer');
  const kinds = () => page.getByTestId('event').evaluateAll((events) => [...new Set(events.map(({ dataset }) => `${dataset.node} ${dataset.kind}`))]);
  await expect.poll(kinds).toEqual(['1 timer']);
  const matching = Number(await page.getByTestId('events-count').textContent());
  await page.getByTestId('event').first().click();
  await atRest(page);
  expect(Number(await page.getByTestId('events-count').textContent())).toBeLessThan(matching);
  await field.fill('');
  await expect.poll(async () => Number(await page.getByTestId('events-count').textContent())).toBeGreaterThan(matching);
});

test('help tells the keys, and gives the focus back', async ({ page }) => {
  await openWorkbench(page);
  await page.getByTestId('play').focus();
  await page.keyboard.press('?');
  const dialog = page.getByTestId('help-dialog');
  await expect(dialog).toBeVisible();
  await expect(page.getByTestId('help-keys')).toContainText('play or pause');
  await expect(dialog).toContainText('hatched');
  const before = await drawn(page);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('3');
  expect(await drawn(page)).toEqual(before);
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await expect(page.getByTestId('play')).toBeFocused();
});

test('presenter mode is larger, leaves out what a class does not need, and stays', async ({ page }) => {
  await openWorkbench(page);
  const width = async () => (await page.getByTestId('play').boundingBox()).width;
  const before = await width();
  await page.getByTestId('presenter').click();
  expect(await width()).toBeCloseTo(before * 1.25, 0);
  await expect(page.getByTestId('trace-hash')).toBeHidden();
  await page.reload();
  await atRest(page);
  await expect(page.getByTestId('presenter')).toHaveAttribute('aria-pressed', 'true');
  await page.keyboard.press('p');
  expect(await width()).toBeCloseTo(before, 0);
});
