// What a person does to a run: faults by mouse and by keyboard, futures that are kept, and breakpoints.

import { expect, test } from '@playwright/test';
import { atRest, openWorkbench, refuseErrors, step } from './support.mjs';

const hash = (page) => page.getByTestId('trace-hash').textContent();

/** Goes to a time at which messages are on their way, and nothing is decided yet. */
async function toTheMiddle(page) {
  await page.getByTestId('scrubber').fill('103');
  await atRest(page);
}

async function toTheEnd(page) {
  const end = page.getByTestId('end');
  if (await end.getAttribute('aria-disabled') === 'false') await end.click();
  await atRest(page);
  return hash(page);
}

const bodyHasFocus = (page) => page.evaluate(() => document.activeElement === document.body);

let errors;
test.beforeEach(({ page }) => {
  errors = [];
  refuseErrors(page, errors);
});
test.afterEach(() => expect(errors).toEqual([]));

test('by click: crash and restart, and looking back undoes nothing', async ({ page }) => {
  await openWorkbench(page);
  await toTheMiddle(page);
  await page.getByTestId('node-1').click();
  await page.getByTestId('crash').click();
  await expect(page.getByTestId('lane-1')).toHaveAttribute('data-standing', 'standing-crashed');
  await expect(page.getByTestId('events')).toContainText('Fault: node 1 crashes.');
  await expect(page.locator('.fault')).not.toHaveCount(0);
  const crashed = await toTheEnd(page);
  await page.keyboard.press('Escape');
  await expect(page.getByTestId('decision')).toContainText('at nodes 2 3');
  await page.getByTestId('node-1').click();
  await page.getByTestId('home').click();
  await atRest(page);
  await expect(page.getByTestId('lane-1')).not.toHaveAttribute('data-standing', 'standing-crashed');
  expect(await toTheEnd(page)).toBe(crashed);
  await page.getByTestId('crash').click();
  await expect(page.getByTestId('lane-1')).toHaveAttribute('data-standing', 'standing-up');
});

test('by click: a link is cut, a message is late, one is dropped, and a node lies', async ({ page }) => {
  await openWorkbench(page);
  const planned = await toTheEnd(page);
  await toTheMiddle(page);
  const before = await step(page);
  await page.getByTestId('link-1-3').click();
  await expect(page.getByTestId('picked')).toContainText('Link 1 – 3');
  await page.getByTestId('cut').click();
  await expect(page.getByTestId('link-1-3')).toHaveClass(/is-cut/);
  await expect(page.getByTestId('link-1-2')).not.toHaveClass(/is-cut/);

  const flights = page.getByTestId('flight');
  const count = await flights.count();
  const late = await flights.nth(1).evaluate(({ dataset }) => ({ ...dataset }));
  await flights.nth(1).click();
  await page.getByTestId('delay').click();
  const arrivals = await flights.evaluateAll((all) => all.map(({ dataset }) => Number(dataset.arrives)));
  expect(arrivals.some((at) => Math.abs(at - Number(late.arrives) - 100) < 0.01)).toBe(true);
  await flights.first().click();
  await page.getByTestId('drop').click();
  await expect(flights).toHaveCount(count - 1);
  expect(await bodyHasFocus(page)).toBe(false);

  await page.getByTestId('node-3').click();
  await page.getByTestId('lie').click();
  await expect(page.getByTestId('deed-verb')).toBeFocused();
  await page.getByTestId('deed-how').selectOption('says nothing');
  await page.getByTestId('deed-do').click();
  await expect(page.getByTestId('lane-3')).toHaveAttribute('data-standing', 'standing-byzantine');
  expect(await step(page)).toBe(before);
  expect(await toTheEnd(page)).not.toBe(planned);
  await expect(page.getByTestId('future')).toHaveCount(2);
  await page.getByTestId('future').first().click();
  await atRest(page);
  expect(await toTheEnd(page)).toBe(planned);
});

test('everything in the form can be done, and what cannot is told', async ({ page }) => {
  await openWorkbench(page);
  await toTheMiddle(page);
  await page.getByTestId('open-deed').click();
  const verbs = await page.getByTestId('deed-verb').locator('option').allTextContents();
  expect(verbs).toHaveLength(15);
  for (const verb of verbs.filter((text) => text !== 'Restart a node')) {
    await page.getByTestId('deed-verb').selectOption(verb);
    if (verb === 'Crash a node') await page.getByTestId('deed-how').selectOption('after its next write');
    await page.getByTestId('deed-do').click();
    await expect(page.getByTestId('refusal'), verb).toHaveCount(0);
  }
  await page.getByTestId('deed-verb').selectOption('Restart a node');
  await page.getByTestId('deed-do').click();
  await page.getByTestId('deed-do').click();
  await expect(page.getByTestId('refusal')).toContainText('Node 1 is up already.');
  await page.getByTestId('deed-verb').selectOption('Part the network');
  await page.getByTestId('deed-text').fill('1 | x');
  await page.getByTestId('deed-do').click();
  await expect(page.getByTestId('refusal')).toContainText('Groups: expected numbers');
  await page.getByTestId('deed-close').click();
  await expect(page.getByTestId('open-deed')).toBeFocused();
});

test('by keyboard alone: crash, cut, drop, fork, a breakpoint', async ({ page }) => {
  await openWorkbench(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('play')).toBeFocused();
  for (let i = 0; i < 7; i += 1) await page.keyboard.press('ArrowRight');
  await page.keyboard.press('c');
  await expect(page.getByTestId('refusal')).toContainText('Select a node first');
  await page.keyboard.press('2');
  await page.keyboard.press('c');
  await expect(page.getByTestId('lane-2')).toHaveAttribute('data-standing', 'standing-crashed');
  await page.keyboard.press('c');
  await expect(page.getByTestId('lane-2')).toHaveAttribute('data-standing', 'standing-up');
  await page.keyboard.press('x');
  await expect(page.getByTestId('link-1-2')).toHaveClass(/is-cut/);
  await page.keyboard.press('x');
  await expect(page.getByTestId('link-1-2')).not.toHaveClass(/is-cut/);
  const count = await page.getByTestId('flight').count();
  expect(count).toBeGreaterThan(0);
  await page.keyboard.press('d');
  await expect(page.getByTestId('drop')).toBeVisible();
  await page.keyboard.press('d');
  await expect(page.getByTestId('flight')).toHaveCount(count - 1);
  await page.keyboard.press('f');
  await expect(page.getByTestId('future')).toHaveCount(3);
  await page.keyboard.press('b');
  await expect(page.getByTestId('wait')).toBeFocused();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('breakpoint')).toHaveText(/a lock/);
  await page.keyboard.press('Escape');
  await expect(page.getByTestId('open-breakpoints')).toBeFocused();
  expect(await bodyHasFocus(page)).toBe(false);
});

test('links and messages are a group each: one stop, and arrows within', async ({ page }) => {
  await openWorkbench(page);
  await toTheMiddle(page);
  await expect(page.locator('.link[tabindex="0"]')).toHaveCount(1);
  await expect(page.locator('.flight[tabindex="0"]')).toHaveCount(1);
  await page.getByTestId('flight').first().focus();
  await page.keyboard.press('ArrowDown');
  await expect(page.getByTestId('flight').nth(1)).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('flight').nth(1)).toHaveAttribute('aria-pressed', 'true');
  await page.keyboard.press('Home');
  await atRest(page);
  await expect(page.getByTestId('flight')).toHaveCount(0);
  expect(await bodyHasFocus(page)).toBe(false);
});

test('playing stops where it is told to, and says where', async ({ page }) => {
  await openWorkbench(page);
  await page.getByTestId('open-breakpoints').click();
  await page.getByTestId('wait').selectOption('committed');
  await page.getByTestId('wait-at').selectOption('node 3');
  await page.getByTestId('set-wait').click();
  await page.getByTestId('speed').selectOption('16×');
  await page.getByTestId('play').click();
  await expect(page.getByTestId('stopped')).toContainText('Stopped at committed at node 3', { timeout: 30_000 });
  await expect(page.getByTestId('play')).toHaveText('Play');
  await page.getByTestId('breakpoint').click();
  await expect(page.getByTestId('breakpoint')).toHaveCount(0);
  await page.getByTestId('play').click();
  await expect(page.getByTestId('stopped')).toHaveText('');
});

test('a broken rule stops the run, says why, and the same run holds under hardened rules', async ({ page }) => {
  await openWorkbench(page, { scenario: 'two-phase/equivocator' });
  await page.getByTestId('speed').selectOption('16×');
  await page.getByTestId('play').click();
  await expect(page.getByTestId('violated')).toContainText('Safety broken: agreement', { timeout: 60_000 });
  await expect(page.getByTestId('play')).toHaveText('Play');
  await expect(page.getByTestId('stopped')).toContainText('a rule is broken');
  await page.getByTestId('why-broken').click();
  await expect(page.getByTestId('why')).toBeVisible();
});

test('without a quorum it stalls, and says what is missing', async ({ page }) => {
  await openWorkbench(page);
  await page.getByTestId('scrubber').fill('99');
  await atRest(page);
  for (const node of ['1', '2']) {
    await page.keyboard.press(node);
    await page.keyboard.press('c');
  }
  await toTheEnd(page);
  await expect(page.getByTestId('stalled')).toContainText('Stalled: Node 3 counts 1 of 3');
  await expect(page.getByTestId('stalled')).toContainText('(needs 2)');
});

test('two futures are compared, and both are gone to', async ({ page }) => {
  await openWorkbench(page);
  const planned = await toTheEnd(page);
  await toTheMiddle(page);
  const at = await step(page);
  await page.keyboard.press('1');
  await page.keyboard.press('c');
  await expect(page.getByTestId('future').nth(1)).toHaveText(/crash 1 at/);
  await page.getByTestId('compare').click();
  await atRest(page);
  const compared = page.getByTestId('compared');
  await expect(compared).toContainText('Fault: node 1 crashes.');
  await expect(compared).toContainText(`in step ${at}`);
  await expect(compared).toContainText('withdraw-1 = A at nodes 1 2 3');
  await expect(compared).toContainText(planned.slice(0, 16));
  await expect(page.getByTestId('parted')).toBeAttached();
  await page.locator('[data-testid=compared-side][data-future="0"]').getByTestId('to-difference').click();
  await atRest(page);
  expect(await step(page)).toBe(at + 1);
  await expect(page.locator('[data-testid=future][aria-pressed=true]')).toHaveText('as planned');
  await page.getByTestId('future').nth(1).click();
  await page.getByTestId('rename').fill('without node 1');
  await page.getByTestId('rename').press('Enter');
  await expect(page.getByTestId('future').nth(1)).toHaveText('without node 1');
  await page.getByTestId('delete').click();
  await expect(page.getByTestId('futures')).toHaveCount(0);
  await atRest(page);
  expect(await toTheEnd(page)).toBe(planned);
});

for (const width of [1280, 390]) {
  test(`now break it, at ${width} px`, async ({ page }) => {
    await page.setViewportSize({ width, height: width === 390 ? 844 : 800 });
    await openWorkbench(page);
    await expect(page.getByTestId('breaks')).toHaveCount(0);
    await toTheEnd(page);
    const buttons = page.getByTestId('break');
    await expect(buttons).toHaveText(['Crash node 1', "Delay node 1's messages", 'Let node 3 lie']);
    await expect(page.getByTestId('breaks')).toContainText('Profile A survives crashes only');
    await expect(page.getByTestId('break-exhibit')).toHaveAttribute('href', /museum.*S0-F1/);
    const outcomes = ['A at nodes 2 3; node 1 is down; every rule holds.', 'A at nodes 1 2 3; every rule holds.', 'every rule holds.'];
    for (const [place, outcome] of outcomes.entries()) {
      await buttons.nth(place).click();
      await expect(page.getByTestId('play')).toHaveText(width === 390 ? /Pause|/ : 'Pause');
      await toTheEnd(page);
      await expect(page.getByTestId('outcome')).toContainText(outcome);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(wide).toBeLessThanOrEqual(width);
    await page.getByTestId('break-exhibit').click();
    await expect(page.getByTestId('museum')).toBeVisible();
  });
}
