// axe-core finds nothing to object to in any state, light and dark, wide and narrow; nothing sticks out, nothing moves that
// should not, and who chose the colours, or reads at 400 %, loses nothing.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from '@playwright/test';
import { allIn, allUp, atRest, freshRoom, openWorkbench } from './support.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

async function check(page, state) {
  const violations = await page.evaluate(async (only) => {
    // Messages on their way pass one another and nodes; what can be done to one, a form that names it does too.
    const flights = [...document.querySelectorAll('[data-testid=flight]')];
    flights.forEach((flight) => flight.setAttribute('inert', ''));
    const { violations } = await window.axe.run(document, { runOnly: { type: 'tag', values: only }, rules: { 'target-size': { enabled: true } } });
    flights.forEach((flight) => flight.removeAttribute('inert'));
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html} (${failureSummary})`).join(' | ')}`);
  }, tags);
  expect.soft(violations, state).toEqual([]);
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
  expect.soft(small).toEqual([]);
}

for (const colorScheme of ['light', 'dark']) {
  for (const [width, height] of [[1280, 800], [390, 844]]) {
    test.describe(`${colorScheme}, ${width} px`, () => {
      test.use({ colorScheme, viewport: { width, height } });
      // One page goes through many states.
      test.setTimeout(180_000);

      test('the simulator', async ({ page }) => {
        await page.addInitScript(axe);
        await openWorkbench(page);
        await check(page, 'at the start');
        await fits(page, width);
        await page.getByTestId('play').click();
        await check(page, 'playing');
        await page.getByTestId('play').click();
        for (const ms of [110, 125, 180]) {
          await page.getByTestId('scrubber').fill(String(ms));
          await check(page, `paused at ${ms} ms`);
        }
        await fits(page, width);
        await page.getByTestId('view-spacetime').click();
        await expect(page.getByTestId('spacetime')).toBeVisible();
        await check(page, 'space-time');
        await fits(page, width);
        await page.getByTestId('view-lanes').click();
        await page.getByTestId('events-filter').fill('node 2 locked');
        await expect(page.getByTestId('events-count')).toHaveText('1');
        await check(page, 'with a filter');
        await page.getByTestId('events-filter').fill('nothing like this');
        await expect(page.getByText('No event matches.')).toBeVisible();
        await check(page, 'with a filter that nothing passes');
        await page.getByTestId('events-filter').fill('');
        await page.getByTestId('events-all').click();
        await page.getByTestId('node-2').click();
        await check(page, 'with the inspector');
        await fits(page, width);
        await page.getByTestId('play').focus();
        await page.keyboard.press('w');
        await expect(page.getByTestId('why')).toBeVisible();
        await check(page, 'with an answer');
        await page.keyboard.press('Escape');
        await page.keyboard.press('Escape');
        await page.keyboard.press('?');
        await expect(page.getByTestId('help-dialog')).toBeVisible();
        await check(page, 'with help');
        await page.keyboard.press('Escape');
        await expect(page.getByTestId('help-dialog')).toBeHidden();
        await page.keyboard.press('p');
        await expect(page.locator('html')).toHaveAttribute('data-presenter');
        await check(page, 'presenter mode');
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
        await page.keyboard.press('p');
        await openWorkbench(page, { scenario: 'two-phase/late-joiner' });
        await check(page, 'with a node that is down');
        await page.keyboard.press('End');
        await atRest(page);
        await check(page, 'at the end of a run with faults');
        await fits(page, width);
        await openWorkbench(page, { scenario: 'two-phase/max-retries' });
        await page.keyboard.press('End');
        await atRest(page);
        await check(page, 'a run that stalled');
        await page.goto('/#scenario=no-such-run');
        await expect(page.getByRole('alert')).toBeVisible();
        await check(page, 'a scenario that does not exist');
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
        await fits(page, width);
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
          await check(page, `${id} broken, at the end`);
          await fits(page, width);
        }
      });

      test('the checker', async ({ page }) => {
        await page.addInitScript(axe);
        await openWorkbench(page, { scenario: 'two-phase/divergent-views' });
        await page.getByTestId('check').click();
        await check(page, 'before a search');
        await page.getByTestId('check-start').click();
        await expect(page.getByTestId('check-end')).toContainText('complete', { timeout: 30_000 });
        await check(page, 'after a search');
        await fits(page, width);
      });
    });
  }
}

test('a page of 320 px, as at 400 % zoom, loses nothing and scrolls one way', async ({ page }) => {
  await page.setViewportSize({ width: 320, height: 256 });
  for (const view of ['view-lanes', 'view-spacetime']) {
    await openWorkbench(page);
    await page.getByTestId(view).click();
    await page.getByTestId('scrubber').fill('125');
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
    for (const id of ['question', 'scenario', 'play', 'events-filter', 'node-1', 'node-2', 'node-3', 'cards', 'help']) {
      const control = page.getByTestId(id);
      await control.scrollIntoViewIfNeeded();
      const box = await control.boundingBox();
      expect(box.x, id).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width, id).toBeLessThanOrEqual(321);
    }
  }
  await page.getByTestId('help').click();
  await expect(page.getByTestId('help-dialog')).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
  await page.getByTestId('help-close').click();
  await page.getByTestId('node-2').click();
  const sheet = await page.getByTestId('inspector').boundingBox();
  expect(sheet.height).toBeLessThanOrEqual(0.6 * 256 + 1);
});

test('in colours that a person chose, values, phases and meters are told apart', async ({ page }) => {
  await page.emulateMedia({ forcedColors: 'active' });
  await openWorkbench(page);
  await page.getByTestId('scrubber').fill('125');
  await atRest(page);
  const look = await page.evaluate(() => {
    const of = (selector, ...names) => {
      const style = getComputedStyle(document.querySelector(selector));
      return names.map((name) => style.getPropertyValue(name)).join(' ');
    };
    return {
      counted: of('.segment:not(.awaiting) rect', 'stroke', 'stroke-width', 'stroke-dasharray'),
      awaited: of('.segment.awaiting rect', 'stroke', 'stroke-width', 'stroke-dasharray'),
      letter: document.querySelector('.segment:not(.awaiting) text').textContent,
      ink: of('.segment:not(.awaiting) text', 'fill'),
      paper: of('.segment:not(.awaiting) rect', 'fill'),
      span: of('.span', 'border-left-style', 'border-left-width'),
      threshold: of('.threshold', 'stroke'),
      chip: of('.card .chip', 'border-top-style'),
    };
  });
  expect(look.counted).not.toBe(look.awaited);
  expect(look.letter).toMatch(/^[A-Z]$/);
  expect(look.ink).not.toBe(look.paper);
  expect(look.span).toBe('solid 1px');
  expect(look.chip).toBe('solid');
  await page.getByTestId('play').focus();
  await page.keyboard.press('Tab');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  expect(outline).toBe('solid');
});

test('with little motion wanted nothing runs by itself in any state', async ({ page }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  const running = () => page.evaluate(() => document.getAnimations().filter(({ playState }) => playState === 'running').length);
  await openWorkbench(page);
  await page.getByTestId('scrubber').fill('125');
  expect(await running()).toBe(0);
  await page.getByTestId('view-spacetime').click();
  await page.getByTestId('play').click();
  expect(await running()).toBe(0);
  await page.getByTestId('play').click();
  await page.getByTestId('node-2').click();
  await page.getByTestId('help').click();
  expect(await running()).toBe(0);
});

test('segments of a meter are as wide as their weights, and the line is at the threshold', async ({ page }) => {
  await openWorkbench(page);
  await page.getByTestId('end').click();
  await atRest(page);
  for (const lane of [1, 2, 3]) {
    for (const track of await page.locator(`[data-testid=lane-${lane}] .meter-track`).all()) {
      const measured = await track.evaluate((svg) => {
        const box = svg.getBoundingClientRect();
        const scale = box.width / 120;
        const segments = [...svg.querySelectorAll('.segment rect')].map((rect) => rect.getBoundingClientRect());
        const line = svg.querySelector('.threshold').getBoundingClientRect();
        return { scale, line: line.x + line.width / 2 - box.x, segments: segments.map(({ x, width }) => [x - box.x, width]) };
      });
      // Three voters of weight one, two of them needed: 40 of 120 each. The borders take room within them.
      expect(measured.segments).toHaveLength(3);
      measured.segments.forEach(([x, width], index) => {
        const middle = (index * 40 + 20) * measured.scale;
        expect(Math.abs(x + width / 2 - middle)).toBeLessThanOrEqual(1);
        expect(Math.abs(width - 38.5 * measured.scale)).toBeLessThanOrEqual(2);
      });
      expect(Math.abs(measured.line - 80 * measured.scale)).toBeLessThanOrEqual(1);
    }
  }
});
