// The simulator's page: the story plays, every seek shows what stepping shows, and the runs are the command line's.

import { expect, test } from '@playwright/test';
import { phaselab } from '../node/cli.mjs';
import { atRest, drawn, openRun, reveal, step } from './support.mjs';

/** Of sharded-2pc three stand for the others: sharded.spec.mjs looks at its pictures. */
const sharded = ['reference-transfer', 'abort-flow', 'leaders-killed'].map((name) => `sharded-2pc/${name}`);
const scenarios = phaselab('scenarios').map(({ name }) => name).filter((name) => !name.startsWith('sharded-2pc/') || sharded.includes(name));

/** Whose lanes show one of several instances. */
const hasSeveral = (name) => sharded.includes(name) || name.startsWith('snowball/');

/** Of more nodes than this, snowball has a grid, and no lanes: snowball.spec.mjs looks at it. */
const lanesMax = 11;

/** Slots of logs are instances too, and are not listed: nobody asked for them. */
const isListed = ({ instance }) => !/^C\d+:\d+$/.test(instance);

test('the default story plays to its end', async ({ page }) => {
  await openRun(page);
  await expect(page.getByTestId('badge')).toHaveText('Simulated · hardened · seed 7 · Ed25519');
  await expect(page.getByTestId('question')).toContainText('Which one gets signed?');
  await expect(page.getByTestId('events').locator('li')).toHaveCount(0);
  await page.getByTestId('speed').selectOption('4×');
  // Every state that is drawn, by what it shows.
  await page.evaluate(() => {
    window.states = [];
    const text = (id) => document.querySelector(`[data-testid=${id}]`)?.textContent;
    const note = () => window.states.push({
      at: Number(document.querySelector('[data-testid=simulate]').dataset.at),
      third: document.querySelector('[data-testid=lane-3]').dataset.phase,
      locks: [1, 2, 3].map((node) => text(`meter-locks-${node}`)),
      caption: text('caption'),
    });
    new MutationObserver(note).observe(document.querySelector('#app'), { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await page.getByTestId('play').click();
  await expect(page.getByTestId('play')).toHaveText('Pause');
  await expect(page.getByTestId('lane-3')).toHaveAttribute('data-phase', 'completed', { timeout: 30_000 });
  await atRest(page);
  const states = await page.evaluate(() => window.states);
  const completed = states.findIndex(({ third }) => third === 'completed');
  expect(states[completed].at).toBeLessThanOrEqual(400);
  const two = states.findIndex(({ locks }) => locks[1] === '2 of 3 · needs 2');
  const three = states.findIndex(({ locks }) => locks.includes('3 of 3 · needs 2'));
  expect(two).toBeGreaterThan(0);
  expect(three).toBeGreaterThan(two);
  const captions = new Set(states.map(({ caption }) => caption).filter(Boolean));
  expect(captions.size).toBeGreaterThanOrEqual(4);
  await expect(page.getByTestId('play')).toHaveText('Play');
  for (const verdict of await page.locator('.verdict').all()) await expect(verdict).toHaveAttribute('data-holds', 'true');
});

for (const name of scenarios) {
  test(`${name}: trace hash, decisions and phases are the command line's`, async ({ page }) => {
    // Other runs than the scenario's own; where each takes seconds, one.
    const others = hasSeveral(name) ? 1 : 3;
    const seeds = Array.from({ length: others }, () => String(Math.floor(Math.random() * 1e9)));
    for (const args of [[], ...seeds.map((seed) => ['--seed', seed])]) {
      const expected = phaselab('sim', name, ...args);
      await openRun(page, { scenario: name, seed: args[1] });
      await page.getByTestId('end').click();
      await atRest(page);
      await expect(page.getByTestId('trace-hash')).toHaveText(expected.trace_hash);
      const first = await page.locator('.topic').allTextContents();
      const isGrid = name.startsWith('snowball/') && expected.nodes.length > lanesMax;
      for (const { id, alive, instances: all } of isGrid ? [] : expected.nodes) {
        const lane = page.getByTestId(`lane-${id}`);
        // Where several are listed, the lanes show the first.
        const instances = all.filter(isListed).filter(({ instance }) => !hasSeveral(name) || first.length === 0 || instance === first[0]);
        if (instances.length > 0) await expect(lane).toHaveAttribute('data-phase', instances[0].phase);
        await expect(lane).toHaveAttribute('data-standing', alive ? /^standing-(up|byzantine)$/ : 'standing-crashed');
      }
      const decided = page.getByTestId('decision');
      const decisions = expected.decisions.filter(isListed);
      await expect(decided).toHaveCount(decisions.length);
      for (const [place, { instance, label, nodes }] of decisions.entries()) {
        await expect(decided.nth(place)).toContainText(`${instance} = ${label}`);
        if (nodes.length <= 16) await expect(decided.nth(place)).toContainText(`at nodes ${nodes.join(' ')}`);
      }
      for (const { name: verdict, holds } of expected.invariants) {
        await expect(page.getByTestId(`verdict-${verdict.replaceAll(' ', '-')}`)).toHaveAttribute('data-holds', String(holds));
      }
    }
  });
}

test('fifty random seeks draw what stepping drew, and so does a page that is loaded again', async ({ page }) => {
  test.setTimeout(180_000);
  await openRun(page, { seed: Math.floor(Math.random() * 1e9) });
  await page.getByTestId('events-all').click();
  const shown = new Map();
  for (let i = 0; i < 30; i += 1) {
    await page.getByTestId('step').click();
    shown.set(await step(page), await drawn(page));
  }
  const rows = page.getByTestId('event');
  const ids = await rows.evaluateAll((all) => all.map((row) => row.dataset.event));
  for (let i = 0; i < 50; i += 1) {
    if (i % 10 === 9) {
      await page.reload();
      await atRest(page);
      await page.getByTestId('events-all').click();
    }
    await page.getByTestId('end').click();
    await atRest(page);
    const id = ids[Math.floor(Math.random() * ids.length)];
    await (await reveal(page, id)).click();
    await atRest(page);
    const at = await step(page);
    expect(at).toBe(Number(id.split('.')[0]) + 1);
    expect(await drawn(page), `after step ${at}`).toEqual(shown.get(at));
  }
});

test('the scrubber shows messages on their way, and no others', async ({ page }) => {
  await openRun(page);
  for (const ms of [90, 101, 120, 125, 140, 170, 240]) {
    await page.getByTestId('scrubber').fill(String(ms));
    await atRest(page);
    await expect(page.getByTestId('clock')).toHaveText(`${ms}.0 ms`);
    const flights = await page.getByTestId('flight').evaluateAll((all) => all.map(({ dataset }) => ({ ...dataset })));
    for (const { sent, arrives } of flights) {
      expect(Number(sent)).toBeLessThanOrEqual(ms);
      expect(Number(arrives)).toBeGreaterThan(ms);
    }
    if (ms === 101) expect(flights).toHaveLength(6);
  }
});

test('meters have a segment per voter and a line at the threshold', async ({ page }) => {
  await openRun(page);
  await page.getByTestId('end').click();
  await atRest(page);
  const tracks = page.locator('[data-testid=lane-1] .meter-track');
  await expect(tracks).toHaveCount(2);
  for (const track of await tracks.all()) {
    const [box, line] = [await track.boundingBox(), await track.locator('.threshold').boundingBox()];
    const widths = await track.locator('.segment rect').evaluateAll((all) => all.map((rect) => rect.getBoundingClientRect().width));
    expect(widths).toHaveLength(3);
    for (const width of widths) expect(Math.abs(width - 40)).toBeLessThanOrEqual(2.5);
    expect(Math.abs(line.x + line.width / 2 - (box.x + 80))).toBeLessThanOrEqual(1);
  }
});

test('the inspector tells what a node knows', async ({ page }) => {
  await openRun(page);
  await page.getByTestId('end').click();
  await atRest(page);
  await page.getByTestId('node-2').click();
  const inspector = page.getByTestId('inspector');
  await expect(inspector).toHaveAttribute('data-node', '2');
  await expect(page.getByTestId('inspector-phase')).toContainText('completed');
  await expect(inspector).toContainText('Node 2 signs A, once.');
  await expect(inspector).toContainText('canonical_hash');
  await page.keyboard.press('Escape');
  await expect(inspector).toHaveCount(0);
  await expect(page.getByTestId('decision')).toContainText('withdraw-1 = A');
});

test('a guess is judged', async ({ page }) => {
  await openRun(page);
  await page.getByLabel('A', { exact: true }).check();
  await expect(page.getByTestId('guess-verdict')).toHaveText('is noted. Press Play.');
  await page.getByTestId('end').click();
  await atRest(page);
  await expect(page.getByTestId('guess-verdict')).toHaveText('was right.');
});

test('everything can be done by keyboard', async ({ page }) => {
  await openRun(page);
  await page.keyboard.press('Tab');
  await expect(page.getByRole('button', { name: 'Skip to Play' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('play')).toBeFocused();
  await page.keyboard.press('Space');
  await expect(page.getByTestId('play')).toHaveText('Pause');
  await page.keyboard.press('Space');
  await expect(page.getByTestId('play')).toHaveText('Play');
  await page.keyboard.press('Home');
  await atRest(page);
  expect(await step(page)).toBe(0);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  expect(await step(page)).toBe(2);
  await page.keyboard.press('ArrowLeft');
  expect(await step(page)).toBe(1);
  await page.keyboard.press('Shift+ArrowRight');
  await atRest(page);
  await expect(page.getByTestId('lane-1')).toHaveAttribute('data-phase', 'proposing');
  await page.keyboard.press('3');
  await expect(page.getByTestId('inspector')).toHaveAttribute('data-node', '3');
  await page.keyboard.press('Escape');
  await expect(page.getByTestId('inspector')).toHaveCount(0);
  await page.keyboard.press(']');
  await expect(page.getByTestId('speed')).toHaveValue('2×');
  await page.keyboard.press('End');
  await atRest(page);
  await expect(page.getByTestId('lane-3')).toHaveAttribute('data-phase', 'completed');
});

test('the focus goes through the whole page, and every stop has a name', async ({ page }) => {
  await openRun(page);
  await page.getByTestId('scrubber').fill('125');
  await atRest(page);
  await page.evaluate(() => document.activeElement.blur());
  await page.mouse.click(2, 2);
  const seen = [];
  for (;;) {
    await page.keyboard.press('Tab');
    const focus = await page.evaluate(() => {
      const { activeElement: element, body } = document;
      const name = element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent;
      return element === body ? null : { name: name.trim(), id: element.dataset.testid };
    });
    if (focus === null) break;
    expect(focus.name, `stop ${seen.length}`).not.toBe('');
    seen.push(focus.id);
    expect(seen.length).toBeLessThan(100);
  }
  for (const id of ['scenario', 'seed', 'node-1', 'node-2', 'node-3', 'event', 'play', 'step', 'back', 'scrubber']) expect(seen).toContain(id);
});

test('a long wait is skipped', async ({ page }) => {
  await openRun(page, { scenario: 'two-phase/late-joiner' });
  await page.getByTestId('speed').selectOption('16×');
  await page.getByTestId('play').click();
  // Nineteen virtual seconds at 0.8 per second would take half a minute.
  await expect(page.getByTestId('lane-3')).toHaveAttribute('data-phase', 'completed', { timeout: 20_000 });
});

test('an unknown scenario is refused in words', async ({ page }) => {
  await page.goto('/#scenario=three-singers');
  await expect(page.getByRole('alert')).toContainText('three-signers');
  await page.getByTestId('scenario').selectOption('two-phase/same-proposal');
  await expect(page.getByTestId('simulate')).toHaveAttribute('data-scenario', 'two-phase/same-proposal');
});

test('with little motion wanted nothing is animated', async ({ browser }) => {
  const context = await browser.newContext({ reducedMotion: 'reduce' });
  const page = await context.newPage();
  await openRun(page);
  await page.getByTestId('scrubber').fill('103');
  const places = () => page.getByTestId('flight').evaluateAll((all) => all.map(({ style }) => style.cssText));
  const before = await places();
  await page.getByTestId('scrubber').fill('104');
  expect(await places()).toEqual(before);
  expect(await page.evaluate(() => document.getAnimations().length)).toBe(0);
  await context.close();
});
