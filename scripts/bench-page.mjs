// npm run bench:page: how smoothly the page plays and scrubs, how fast it seeks in a long run, and whether
// loading and leaving runs makes its heap grow. Measured and reported, never asserted. After npm run build:page.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withPage } from './lib/page-server.mjs';
import { Failed, main, say } from './lib/process.mjs';

const nodes = 9;
const payEveryMs = 100;

/** Events of the long run; another number may be given: npm run bench:page -- 100000. With --crowd, only many nodes. */
const wantedEvents = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 1_000_000);

/** Nodes of the run that is drawn as a grid. */
const crowdNodes = 2_000;

/** How many times a run is loaded, run and left. */
const cycles = 10;

/** Places to which the long run is seeked, in thousandths of it: far and near, back and forth. */
const places = [500, 10, 990, 495, 505, 100, 101, 900, 250, 750, 3, 997, 400, 410, 390, 600];

main(() =>
  withPage(async (address, browser, binary) => {
    const folder = mkdtempSync(join(tmpdir(), 'phaselab-bench-'));
    try {
      await crowd(address, browser, binary, folder);
      if (process.argv.includes('--crowd')) return;
      const short = await opened(address, browser, trace(folder, binary, 20_000));
      await playing(short.page);
      await scrubbing(short.page);
      await short.page.close();
      const long = trace(folder, binary, longEnough(folder, binary));
      const whole = await opened(address, browser, long);
      say(`a run of ${whole.events} events, ${whole.steps} steps, is looked through in ${whole.seconds} s`);
      await seeking(whole.page);
      await whole.page.close();
      await leaving(address, browser);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }),
);

/** A payment every tenth of a second among nine signers. */
function scenario(folder, untilMs) {
  const file = join(folder, `payments-${untilMs}.toml`);
  const count = Math.floor(untilMs / payEveryMs);
  const payments = Array.from({ length: count }, (_, number) => [
    '[[at]]',
    `ms = ${number * payEveryMs}`,
    'do = "submit"',
    `to = [${(number % nodes) + 1}]`,
    `request = { event = "withdraw-${number}", amount = 25 }`,
  ]);
  const head = ['protocol = "two-phase"', `nodes = ${nodes}`, 'crypto = "simulated"', `until_ms = ${untilMs}`];
  const chain = ['[chain]', `utxos = ${Math.max(2_000, 2 * count)}`];
  writeFileSync(file, [...head, ...chain, ...payments.flat()].join('\n'));
  return file;
}

/** Two payments of one coin among thousands of validators that poll each other. */
function doubleSpend(folder) {
  const file = join(folder, 'crowd.toml');
  const submit = (node, to) => ['[[at]]', 'ms = 0', 'do = "submit"', `to = [${node}]`, `request = { from = "alice", to = "${to}", amount = 25 }`];
  const head = ['protocol = "snowball"', `nodes = ${crowdNodes}`, 'crypto = "simulated"', 'until_ms = 700'];
  writeFileSync(file, [...head, '[network]', 'latency_ms = [5, 40]', ...submit(1, 'bob'), ...submit(2, 'carol')].join('\n'));
  return file;
}

/** Plays them, and goes from node to node meanwhile. */
async function crowd(address, browser, binary, folder) {
  const file = join(folder, 'crowd.trace');
  const { events } = simulated(binary, doubleSpend(folder), '--trace', file);
  const { page } = await opened(address, browser, { file, events });
  const play = async () => {
    await page.getByTestId('play').click();
    await page.waitForTimeout(10_000);
    await page.getByTestId('play').click();
  };
  report(`playing ${crowdNodes} nodes for 10 s`, await watched(page, play));
  await page.keyboard.press('Home');
  await atRest(page);
  await page.getByTestId('grid-number').fill('1234');
  report(`the same with one of them selected`, await watched(page, play));
  await page.close();
}

function simulated(binary, ...words) {
  const { status, stdout, stderr } = spawnSync(binary, ['sim', ...words, '--json'], { encoding: 'utf8', maxBuffer: 1 << 30 });
  if (status !== 0) throw new Failed(`phaselab sim ${words.join(' ')}`, stderr);
  return JSON.parse(stdout);
}

/** The recorded run of so many virtual milliseconds, and how many events it has. */
function trace(folder, binary, untilMs) {
  const file = join(folder, `payments-${untilMs}.trace`);
  const { events } = simulated(binary, scenario(folder, untilMs), '--trace', file);
  return { file, events };
}

/** For how many virtual milliseconds it must go on to make that many events: as a short run has it. */
function longEnough(folder, binary) {
  const tried = 20_000;
  const { events } = simulated(binary, scenario(folder, tried));
  return Math.ceil(((wantedEvents / events) * tried) / 1_000) * 1_000;
}

async function opened(address, browser, { file, events }) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.setDefaultTimeout(600_000);
  await page.goto(`${address}#workbench`);
  await page.getByTestId('play').waitFor();
  const begun = Date.now();
  await page.getByTestId('open').setInputFiles(file);
  await page.getByTestId('opened').waitFor();
  await atRest(page);
  const seconds = ((Date.now() - begun) / 1_000).toFixed(1);
  await page.keyboard.press('End');
  await atRest(page);
  const steps = await page.getByTestId('simulate').getAttribute('data-step');
  await page.keyboard.press('Home');
  await atRest(page);
  return { page, steps, events, seconds };
}

async function atRest(page) {
  await page.locator('[data-testid=simulate][data-seeking=false]').waitFor({ state: 'attached' });
}

/** Frames and long tasks while `body` runs in the page's own time. */
async function watched(page, body) {
  await page.evaluate(() => {
    const seen = { frames: [], tasks: [] };
    let last = performance.now();
    const frame = (now) => {
      seen.frames.push(now - last);
      last = now;
      seen.request = requestAnimationFrame(frame);
    };
    seen.request = requestAnimationFrame(frame);
    seen.observer = new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map((task) => task.duration)));
    seen.observer.observe({ type: 'longtask' });
    window.benchSeen = seen;
  });
  await body();
  return page.evaluate(() => {
    const { frames, tasks, request, observer } = window.benchSeen;
    cancelAnimationFrame(request);
    observer.disconnect();
    return { frames: frames.slice(1), tasks, elements: document.querySelectorAll('*').length };
  });
}

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
const inOrder = (numbers) => [...numbers].sort((a, b) => a - b);

function report(what, { frames, tasks, elements }) {
  const sorted = inOrder(frames);
  const longest = tasks.length ? `${Math.max(...tasks).toFixed(0)} ms` : 'none over 50 ms';
  say(`${what}: ${frames.length} frames, p50 ${at(sorted, 0.5).toFixed(1)} ms, p95 ${at(sorted, 0.95).toFixed(1)} ms; ` +
    `longest task ${longest}, ${tasks.length} over 50 ms; ${elements} elements`);
}

async function playing(page) {
  const seen = await watched(page, async () => {
    await page.getByTestId('play').click();
    await page.waitForTimeout(10_000);
    await page.getByTestId('play').click();
  });
  report(`playing ${nodes} nodes for 10 s`, seen);
  await page.keyboard.press('Home');
  await atRest(page);
}

async function scrubbing(page) {
  const bar = await page.getByTestId('scrubber').boundingBox();
  const y = bar.y + bar.height / 2;
  const seen = await watched(page, async () => {
    await page.mouse.move(bar.x + 8, y);
    await page.mouse.down();
    for (let turn = 0; turn < 2; turn += 1) {
      await page.mouse.move(bar.x + bar.width - 8, y, { steps: 60 });
      await page.mouse.move(bar.x + 8, y, { steps: 60 });
    }
    await page.mouse.up();
  });
  report(`scrubbing ${nodes} nodes`, seen);
  await atRest(page);
}

/** From the scrubber's input to the frame after it has arrived. */
async function seeking(page) {
  const took = await page.evaluate(async (places) => {
    const bar = document.querySelector('[data-testid=scrubber]');
    const root = document.querySelector('[data-testid=simulate]');
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
    const taken = [];
    for (const place of places) {
      const begun = performance.now();
      const [low, high] = [Number(bar.min || 0), Number(bar.max)];
      set.call(bar, String(low + ((high - low) * place) / 1_000));
      bar.dispatchEvent(new Event('input', { bubbles: true }));
      do await frame();
      while (root.dataset.seeking === 'true');
      taken.push(performance.now() - begun);
    }
    return taken;
  }, places);
  const sorted = inOrder(took);
  say(`seeking in it: p50 ${at(sorted, 0.5).toFixed(0)} ms, p95 ${at(sorted, 0.95).toFixed(0)} ms, ` +
    `longest ${at(sorted, 1).toFixed(0)} ms of ${took.length}`);
}

/** What ten rounds of choosing, running and leaving a scenario leave behind, after collection. */
async function leaving(address, browser) {
  const page = await browser.newPage();
  await page.goto(address);
  await page.getByTestId('play').waitFor();
  const session = await page.context().newCDPSession(page);
  const used = async () => {
    await session.send('HeapProfiler.collectGarbage');
    const { usedSize, backingStorageSize = 0 } = await session.send('Runtime.getHeapUsage');
    return { usedSize, backingStorageSize };
  };
  const cycle = async (number) => {
    for (const name of ['two-phase/late-joiner', 'two-phase/three-signers']) {
      await page.evaluate((hash) => { location.hash = hash; }, `scenario=${name}&seed=${number}`);
      await page.locator(`[data-testid=simulate][data-scenario="${name}"]`).waitFor({ state: 'attached' });
      await atRest(page);
      await page.keyboard.press('End');
      await atRest(page);
    }
  };
  // The first rounds fill caches.
  for (let number = 0; number < 3; number += 1) await cycle(number);
  const before = await used();
  for (let number = 3; number < 3 + cycles; number += 1) await cycle(number);
  const after = await used();
  const grown = (key) => `${((after[key] - before[key]) / 1e6).toFixed(2)} MB`;
  say(`${cycles} rounds of loading, running and leaving: JavaScript heap grows by ${grown('usedSize')}, ` +
    `buffers with the wasm memory by ${grown('backingStorageSize')} to ${(after.backingStorageSize / 1e6).toFixed(1)} MB`);
  await page.close();
}
