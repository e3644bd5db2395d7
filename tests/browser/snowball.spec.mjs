// The picture of snowball: lanes where nodes are few, a grid where they are many; polls, confidence, blocks; simulated and live.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@playwright/test';
import { phaselab } from '../node/cli.mjs';
import { allUp, atRest, freshRoom, nodesHere, openRun, openWorkbench, refuseErrors, violations } from './support.mjs';

const payment = { scenario: 'snowball/payment' };

let folder;
test.beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'phaselab-snowball-')); });
test.afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Moves the clock of a run. */
async function seek(page, ms) {
  await page.getByTestId('scrubber').fill(String(ms));
  await atRest(page);
}

/** A double spend among so many nodes, as a trace, and what the command line says of it. */
function spend(nodes, untilMs) {
  const file = join(folder, `spend-${nodes}.toml`);
  const trace = join(folder, `spend-${nodes}.trace`);
  const submit = (node, memo, to) => [
    '[[at]]', 'ms = 0', 'do = "submit"', `to = [${node}]`, `request = { memo = "${memo}", from = "alice", to = "${to}", amount = 25 }`,
  ];
  const head = ['protocol = "snowball"', 'crypto = "simulated"', 'seed = 7', `nodes = ${nodes}`, `until_ms = ${untilMs}`];
  writeFileSync(file, [...head, '[network]', 'latency_ms = [5, 40]', ...submit(1, 'T1', 'bob'), ...submit(2, 'T2', 'carol')].join('\n'));
  const report = phaselab('sim', file, '--trace', trace);
  return { trace, report };
}

/** Opens a trace in the workbench. */
async function openTrace(page, trace) {
  await page.goto('/#workbench');
  await page.getByTestId('play').waitFor();
  await page.getByTestId('open').setInputFiles(trace);
  await page.getByTestId('opened').waitFor();
}

/** Asserts that slots of equal width fill the strip, and that the line stands at `need` of them, within a pixel. */
async function stripIsTrue(page) {
  const strip = page.getByTestId('poll-strip');
  const [, need, total] = (await page.getByTestId('poll-words').textContent()).match(/needs (\d+) of (\d+)/);
  const { slots, line } = await strip.evaluate((svg) => {
    const box = (element) => { const { left, right } = element.getBoundingClientRect(); return { left, right }; };
    return { slots: [...svg.querySelectorAll('.segment rect')].map(box), line: box(svg.querySelector('.threshold')) };
  });
  expect(slots).toHaveLength(Number(total));
  const pitch = (slots.at(-1).right - slots[0].left + (slots[1].left - slots[0].right)) / slots.length;
  for (const [place, { left }] of slots.entries()) expect(Math.abs(left - slots[0].left - place * pitch)).toBeLessThanOrEqual(1);
  const gap = slots[1].left - slots[0].right;
  const expected = slots[0].left - gap / 2 + Number(need) * pitch;
  expect(Math.abs((line.left + line.right) / 2 - expected)).toBeLessThanOrEqual(1);
}

test('a payment plays: phases in the lanes, decisions and hash of the command line, and a block', async ({ page }) => {
  const errors = [];
  refuseErrors(page, errors);
  const expected = phaselab('sim', payment.scenario);
  await openRun(page, payment);
  await expect(page.getByTestId('bound')).toHaveText(/^error .* n 5, k 4, alpha 3, beta 20, f 0/);
  await page.evaluate(() => {
    window.phases = new Set();
    window.confidences = new Set();
    const note = () => {
      window.phases.add(document.querySelector('[data-testid=lane-3]')?.dataset.phase);
      window.confidences.add(document.querySelector('[data-testid=meter-confidence-3]')?.textContent);
    };
    new MutationObserver(note).observe(document.querySelector('#app'), { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await page.getByTestId('speed').selectOption('16×');
  await page.getByTestId('play').click();
  await expect(page.getByTestId('lane-3')).toHaveAttribute('data-phase', 'in block', { timeout: 30_000 });
  await page.getByTestId('end').click();
  await atRest(page);
  const seen = await page.evaluate(() => ({ phases: [...window.phases], confidences: [...window.confidences] }));
  for (const phase of ['querying', 'tallying', 'finalized', 'in block']) expect(seen.phases).toContain(phase);
  expect(seen.confidences).toContain('7 of 20');
  await expect(page.getByTestId('trace-hash')).toHaveText(expected.trace_hash);
  for (const { id, instances } of expected.nodes) {
    const own = instances.find(({ instance }) => instance === 'alice:0');
    await expect(page.getByTestId(`lane-${id}`)).toHaveAttribute('data-phase', own.phase);
  }
  const decided = page.getByTestId('decision');
  await expect(decided).toHaveCount(expected.decisions.length);
  for (const [place, { instance, label, nodes }] of expected.decisions.entries()) {
    await expect(decided.nth(place)).toContainText(`${instance} = ${label}`);
    await expect(decided.nth(place)).toContainText(`at nodes ${nodes.join(' ')}`);
  }
  await expect(page.getByTestId('block')).toHaveText(['block 11 transaction']);
  expect(errors).toEqual([]);
});

test('the strip of the selected node: slots, the line of alpha, and the strengths', async ({ page }) => {
  await openTrace(page, spend(8, 1_500).trace);
  await atRest(page);
  for (const ms of [120, 170, 400]) {
    await seek(page, ms);
    await page.getByTestId('lane-4').getByRole('button').click();
    await expect(page.getByTestId('poll')).toHaveAttribute('data-node', '4');
    await stripIsTrue(page);
    await expect(page.getByTestId('poll-confidence')).toHaveText(/^confidence \d+ of 20$/);
    await page.keyboard.press('Escape');
  }
  await expect(page.getByTestId('histogram').getByTestId('bar')).toHaveCount(21);
});

test('thirty nodes are a grid: by keyboard to a node, and to whom it asks', async ({ page }) => {
  const errors = [];
  refuseErrors(page, errors);
  const { trace, report } = spend(30, 14_000);
  await openTrace(page, trace);
  await atRest(page);
  await seek(page, 120);
  const grid = page.getByTestId('grid');
  await expect(grid).toHaveAttribute('data-nodes', '30');
  expect(Number(await grid.getAttribute('data-cell'))).toBeGreaterThanOrEqual(14);
  await expect(page.locator('[data-testid^=lane-], [data-testid^=node-]')).toHaveCount(0);
  const columns = Number(await grid.getAttribute('data-columns'));
  await page.getByTestId('grid-choose').focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  const node = 2 + columns;
  await expect(page.getByTestId('grid-node')).toHaveAttribute('data-node', String(node));
  await expect(page.getByTestId('grid-node')).toContainText(new RegExp(`^Node ${node} prefers [AB], confidence \\d+ of 20$`));
  await expect(page.getByTestId('poll')).toHaveAttribute('data-node', String(node));
  await stripIsTrue(page);
  // A line to each that it asks.
  const asked = await page.getByTestId('poll-strip').locator('[data-node]').evaluateAll((all) => all.map(({ dataset }) => dataset.node));
  const lines = await page.getByTestId('grid-lines').locator('.ask').evaluateAll((all) => all.map(({ dataset }) => dataset.node));
  expect(lines.sort()).toEqual(asked.sort());
  expect(new Set(asked).size).toBe(20);
  // A click on a cell selects it, and another lets it go.
  const box = await page.getByTestId('grid-cells').boundingBox();
  const cell = Number(await grid.getAttribute('data-cell'));
  await page.mouse.click(box.x + cell * 1.5, box.y + cell * 0.5);
  await expect(page.getByTestId('grid-node')).toHaveAttribute('data-node', '2');
  await page.getByTestId('grid-number').fill('30');
  await expect(page.getByTestId('poll')).toHaveAttribute('data-node', '30');
  await page.getByTestId('end').click();
  await atRest(page);
  await expect(page.getByTestId('grid-told')).toContainText('final 30 of 30');
  await expect(page.getByTestId('trace-hash')).toHaveText(report.trace_hash);
  await expect(page.getByTestId('block')).toHaveCount(1);
  expect(errors).toEqual([]);
});

test('two thousand nodes are drawn on one canvas, and move', async ({ page }) => {
  test.setTimeout(180_000);
  const { trace } = spend(2_000, 150);
  await openTrace(page, trace);
  await expect(page.getByTestId('grid')).toHaveAttribute('data-nodes', '2000', { timeout: 60_000 });
  await page.getByTestId('play').click();
  await expect(page.getByTestId('grid-told')).toContainText(/A [\d,]+ · B [\d,]+/, { timeout: 60_000 });
  expect(Number(await page.getByTestId('grid').getAttribute('data-cell'))).toBeGreaterThanOrEqual(14);
  expect(await page.evaluate(() => document.querySelectorAll('*').length)).toBeLessThanOrEqual(3_000);
  const colours = await page.getByTestId('grid-canvas').evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let at = 0; at < data.length; at += 4) seen.add(`${data[at]} ${data[at + 1]} ${data[at + 2]}`);
    return [...seen];
  });
  expect(colours).toContain('86 180 233');
  expect(colours).toContain('240 228 66');
  await page.getByTestId('grid-number').fill('1234');
  await expect(page.getByTestId('grid-node')).toContainText('Node 1234');
  expect(await page.evaluate(() => document.querySelectorAll('*').length)).toBeLessThanOrEqual(3_000);
});

for (const [width, scheme] of [[1280, 'light'], [1280, 'dark'], [390, 'light'], [390, 'dark']]) {
  test(`nothing is in the way of anybody at ${width} px, ${scheme}`, async ({ browser }) => {
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: scheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    await openTrace(page, spend(8, 1_500).trace);
    await atRest(page);
    await seek(page, 170);
    await page.getByTestId('lane-4').getByRole('button').click();
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    await openTrace(page, spend(30, 14_000).trace);
    await atRest(page);
    await seek(page, 120);
    await page.getByTestId('grid-number').fill('8');
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    await context.close();
  });
}

test('by hand, another payment of a coin is made while the first is polled about', async ({ page }) => {
  await openWorkbench(page, payment);
  await seek(page, 60);
  await page.locator('#open-deed').click();
  await page.getByTestId('deed-verb').selectOption('Submit a request');
  await page.getByTestId('deed-text').fill('bob:0');
  await page.getByTestId('deed-also').fill('carol');
  await page.getByTestId('deed-number').fill('40');
  await page.getByTestId('deed-more-0').fill('T2');
  await page.getByTestId('deed-more-1').fill('2');
  await page.getByTestId('deed-other').selectOption('node 3');
  await page.getByTestId('deed-do').click();
  await page.getByTestId('end').click();
  await atRest(page);
  await expect(page.getByTestId('decision').filter({ hasText: 'bob:0 = A' })).toHaveCount(1);
  await expect(page.getByTestId('decision').filter({ hasText: 'alice:0 = A' })).toHaveCount(1);
});

test('a live room of three tabs: a payment becomes final at every node, and the next coin is ready', async ({ context }) => {
  test.setTimeout(90_000);
  const errors = [];
  const address = `/?room=${freshRoom()}&protocol=snowball#live`;
  const tabs = [];
  for (let tab = 0; tab < 3; tab += 1) {
    const page = await context.newPage();
    if (tab === 0) refuseErrors(page, errors);
    await page.goto(address);
    await expect(page.getByTestId('live-node-1')).toBeVisible();
    tabs.push(page);
  }
  for (const tab of tabs) await allUp(tab, 5);
  await expect.poll(async () => (await Promise.all(tabs.map(nodesHere))).flat().length, { timeout: 15_000 }).toBe(5);
  await expect(tabs[1].getByTestId('submit-from')).toHaveValue('alice:0');
  await tabs[1].getByTestId('submit').click();
  await expect(tabs[1].getByTestId('submission')).toHaveAttribute('data-outcome', 'decided', { timeout: 30_000 });
  await expect(tabs[1].getByTestId('submit-from')).toHaveValue('alice:1');
  for (const tab of tabs) {
    for (let node = 1; node <= 5; node += 1) {
      await expect(tab.getByTestId(`live-node-${node}`)).toHaveAttribute('data-phase', /finalized|in block/, { timeout: 30_000 });
    }
    await expect(tab.getByTestId('bound')).toHaveText(/^error .* n 5, k 4/);
    await expect(tab.getByTestId('block').first()).toContainText('1 transaction', { timeout: 30_000 });
  }
  expect(errors).toEqual([]);
});
