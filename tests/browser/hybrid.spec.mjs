// One cluster of browser tabs and terminals: the lobby, deciding together, and what becomes of them when parts are gone.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect as base, test } from '@playwright/test';
import { allIn, allUp, refuseErrors } from './support.mjs';

// Tabs and processes start on a busy machine: a bound on hanging, not on time.
const expect = base.configure({ timeout: 20_000 });

const root = fileURLToPath(new URL('../..', import.meta.url));
const phaselab = process.env.PHASELAB ?? join(root, 'target', 'debug', 'phaselab');

/** A process whose lines are read; it is killed when the test ends. */
class Running {
  constructor(words, folder) {
    this.seen = '';
    this.child = spawn(resolve(root, phaselab), words, { cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] });
    this.child.stdout.on('data', (chunk) => { this.seen += chunk; });
    this.ended = new Promise((done) => this.child.on('exit', done));
  }

  /** The first line with these words. */
  async line(words) {
    const found = () => this.seen.split('\n').find((line) => line.includes(words));
    await expect.poll(found, { timeout: 20_000, message: `${words} in ${this.seen}` }).toBeTruthy();
    return found();
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** A lobby, and the processes of its members. */
class Lab {
  static async open(seats) {
    const lab = new Lab();
    lab.folder = mkdtempSync(join(tmpdir(), 'phaselab-hybrid-'));
    lab.processes = [];
    lab.seats = seats;
    lab.serve = await lab.serving(0);
    await lab.serve.line('or in a terminal');
    lab.address = (await lab.serve.line('page')).match(/http:\/\/localhost:\d+/)[0];
    lab.invites = [...lab.serve.seen.matchAll(/join=([0-9a-f]{32})/g)].map(([, invite]) => invite);
    return lab;
  }

  run(words) {
    const running = new Running(words, this.folder);
    this.processes.push(running);
    return running;
  }

  async serving(port) {
    const serve = this.run(['serve', '--lobby', '--nodes', String(this.seats), '--port', String(port), '--dir', join(root, 'web', 'dist')]);
    await serve.line('page');
    return serve;
  }

  joinsFromTerminal(seat) {
    return this.run(['node', '--join', this.address, '--invite', this.invites[seat], '--dir', `seat-${seat}`, '--until-stdin-closes']);
  }

  async joinsFromTab(context, seat) {
    const page = await context.newPage();
    await page.goto(`${this.address}/live#join=${this.invites[seat]}`);
    return page;
  }

  async close() {
    await Promise.all(this.processes.map((running) => running.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let lab;
test.afterEach(() => lab?.close());

/** Two tabs and three terminals, all connected. */
async function together(context) {
  lab = await Lab.open(5);
  const tabs = [await lab.joinsFromTab(context, 0)];
  await expect(tabs[0].getByTestId('lobby')).toContainText('Waiting for 4 more');
  await expect(tabs[0].getByTestId('lobby')).toContainText('Node 1: this tab');
  const nodes = [1, 2, 3].map((seat) => lab.joinsFromTerminal(seat));
  await expect(tabs[0].getByTestId('lobby')).toContainText('4 of 5 have joined');
  await expect(tabs[0].getByTestId('lobby')).toContainText('Node 3: a terminal');
  tabs.push(await lab.joinsFromTab(context, 4));
  for (const tab of tabs) {
    await allUp(tab, 5);
    await expect(tab.getByTestId('gateway')).toHaveAttribute('data-online', '5');
  }
  await Promise.all(nodes.map((node) => node.line('ready')));
  return { tabs, nodes };
}

async function submits(tab, event) {
  await tab.getByTestId('submit-event').fill(event);
  await tab.getByTestId('submit').click();
  await expect(tab.locator(`[data-testid=submission][data-name=${event}]`)).toHaveAttribute('data-outcome', 'decided');
}

test('two tabs and three terminals decide in one cluster', async ({ context }) => {
  const errors = [];
  const { tabs } = await together(context);
  tabs.forEach((tab) => refuseErrors(tab, errors));
  for (const tab of tabs) await expect(tab.getByTestId('badge')).toHaveText('Live · hardened · Ed25519 · browsers and terminals');

  await submits(tabs[0], 'rent');
  for (const tab of tabs) await allIn(tab, 'completed', 5);
  const values = await Promise.all(tabs.map((tab) => tab.getByTestId('card').first().getAttribute('data-value')));
  expect(new Set(values).size).toBe(1);
  // The terminals hold the same: they were asked themselves.
  for (const seat of [1, 2, 3]) {
    const status = lab.run(['status', '--dir', `seat-${seat}`, '--json']);
    await status.ended;
    const [{ report }] = JSON.parse(status.seen).nodes;
    const rent = report.instances.find(({ instance }) => instance === 'rent');
    expect([rent.phase, rent.value, report.refused]).toEqual(['completed', values[0], 0]);
  }

  // And what a terminal submits, the tabs see.
  const submitted = lab.run(['submit', '--dir', 'seat-2', '--event', 'fuel', '--amount', '25', '--wait', '15s']);
  expect(await submitted.ended).toBe(0);
  for (const tab of tabs) {
    await expect(tab.getByTestId('card').first()).not.toHaveAttribute('data-value', values[0]);
    await allIn(tab, 'completed', 5);
  }
  const account = await (await fetch(`${lab.address}/gateway`)).json();
  expect(account.joined.map(({ place }) => place).sort()).toEqual(['browser', 'browser', 'terminal', 'terminal', 'terminal']);
  expect([account.forged, account.malformed, account.oversized]).toEqual([0, 0, 0]);
  expect(errors).toEqual([]);
});

test('a tab, a terminal and the gateway go and come back as who they were', async ({ context }) => {
  const { tabs, nodes } = await together(context);
  await submits(tabs[0], 'rent');
  await allIn(tabs[0], 'completed', 5);
  const value = await tabs[0].getByTestId('card').first().getAttribute('data-value');
  const life = async () => Number(await tabs[0].getByTestId('live-node-1').getAttribute('data-life'));
  const before = await life();

  // A reload is the next life of the same member, with what it promised.
  await tabs[0].reload();
  await allUp(tabs[0], 5);
  await allIn(tabs[0], 'completed', 5);
  expect(await life()).toBe(before + 1);
  expect(await tabs[0].getByTestId('card').first().getAttribute('data-value')).toBe(value);

  // The same address in another tab waits for the seat, and takes it over.
  const second = await lab.joinsFromTab(context, 0);
  await expect(second.getByTestId('other-tab')).toBeVisible();
  await tabs[0].close();
  await allUp(second, 5);

  // A node that is crashed by hand leaves the gateway, and comes back.
  await second.getByTestId('crash-1').click();
  await expect(tabs[1].getByTestId('gateway')).toHaveAttribute('data-online', '4');
  await expect(tabs[1].getByTestId('live-node-1')).toHaveAttribute('data-standing', 'crashed');
  await second.getByTestId('restart-1').click();
  await allUp(second, 5);
  await expect(tabs[1].getByTestId('gateway')).toHaveAttribute('data-online', '5');

  // Without one tab and one terminal three of five are enough.
  await tabs[1].close();
  await nodes[0].kill();
  await submits(second, 'fuel');

  // The gateway is gone: the page says so, and goes on when it is back.
  await lab.serve.kill();
  await expect(second.getByTestId('gateway')).toContainText('The gateway is gone');
  lab.serve = await lab.serving(new URL(lab.address).port);
  await expect(second.getByTestId('gateway')).toHaveAttribute('data-online', '3');
  await submits(second, 'wine');
});

for (const [width, height] of [[1280, 800], [390, 844]]) {
  test(`axe-core finds nothing to object to at ${width} px`, async ({ context }) => {
    await context.addInitScript(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
    lab = await Lab.open(2);
    const tab = await lab.joinsFromTab(context, 0);
    await tab.setViewportSize({ width, height });
    const objections = () => tab.evaluate(async () => {
      const values = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
      const { violations } = await window.axe.run(document, { runOnly: { type: 'tag', values }, rules: { 'target-size': { enabled: true } } });
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
    });
    const drawnWidth = () => tab.evaluate(() => document.documentElement.scrollWidth);
    await expect(tab.getByTestId('lobby')).toBeVisible();
    expect(await objections()).toEqual([]);
    expect(await drawnWidth()).toBeLessThanOrEqual(width);
    lab.joinsFromTerminal(1);
    await allUp(tab, 2);
    expect(await objections()).toEqual([]);
    expect(await drawnWidth()).toBeLessThanOrEqual(width);
    await lab.serve.kill();
    await expect(tab.getByTestId('gateway')).toContainText('The gateway is gone');
    expect(await objections()).toEqual([]);
  });
}

test('an invite that is used, unknown or cut short is refused in words', async ({ context, browser }) => {
  lab = await Lab.open(2);
  const first = await lab.joinsFromTab(context, 0);
  await expect(first.getByTestId('lobby')).toContainText('Waiting for 1 more');
  // Another browser has another key.
  const other = await browser.newContext();
  const refusal = async (invite) => {
    const page = await other.newPage();
    await page.goto(`${lab.address}/live#join=${invite}`);
    const text = await page.getByTestId('no-room').textContent();
    await page.close();
    return text;
  };
  expect(await refusal(lab.invites[0])).toContain('somebody else used this invite');
  expect(await refusal('00'.repeat(16))).toContain('no such invite');
  expect(await refusal('00')).toContain('no whole invite');
  await other.close();
});
