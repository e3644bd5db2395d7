// A live cluster's recordings, opened in the page: the run that the command line tells, to be looked at from all sides.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { expect, test } from '@playwright/test';
import { phaselab } from '../node/cli.mjs';
import { atRest, openWorkbench, refuseErrors, step } from './support.mjs';

const binary = process.env.PHASELAB;
let folder;
let report;

/** Runs a cluster that decides two events, and puts what its nodes recorded into one file. */
test.beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'phaselab-recording-'));
  const cluster = join(folder, 'cluster');
  const running = spawn(binary, ['cluster', '--dir', cluster, '--base-port', '0', '--page-port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  running.stdout.on('data', (data) => { said += data; });
  await expect.poll(() => said.match(/ready/g)?.length ?? 0, { timeout: 30_000 }).toBe(3);
  for (const event of ['withdraw-1', 'withdraw-2']) {
    execFileSync(binary, ['submit', '--dir', cluster, '--event', event, '--amount', '7', '--wait', '30s']);
  }
  running.kill('SIGTERM');
  await once(running, 'exit');
  report = phaselab('replay', cluster, '--trace', join(folder, 'live.rec'));
  expect(report.same).toBe(true);
});

test.afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the page opens a live run, plays it to the same hash, and lets nobody change it', async ({ page }) => {
  const errors = [];
  refuseErrors(page, errors);
  await openWorkbench(page, { scenario: 'two-phase/three-signers' });
  await page.getByTestId('open').setInputFiles(join(folder, 'live.rec'));
  await expect(page.getByTestId('opened')).toContainText('3 recorded lives');
  await expect(page.getByTestId('opened')).toContainText('all came the same');
  await expect(page.getByTestId('badge')).toContainText('Live, recorded');
  await expect(page.getByTestId('seed')).toHaveCount(0);
  await expect(page.getByTestId('check')).toHaveCount(0);
  await atRest(page);
  expect(await step(page)).toBe(0);
  await page.getByTestId('end').click();
  await atRest(page);
  expect(await step(page)).toBe(report.steps);
  await expect(page.getByTestId('trace-hash')).toHaveText(report.trace_hash);
  await expect(page.getByTestId('decision')).toHaveCount(report.decisions.length);
  for (const { instance, value } of report.decisions) {
    await expect(page.getByTestId('decision').filter({ hasText: instance })).toContainText(value.slice(0, 4));
  }

  // Back and forth, and into a node.
  await page.getByTestId('back').click();
  expect(await step(page)).toBe(report.steps - 1);
  await page.keyboard.press('2');
  await page.getByTestId('ask-why').first().click();
  await expect(page.getByTestId('why')).toContainText('Node 2');
  await page.getByRole('button', { name: 'Back to the scenario' }).click();
  await expect(page.getByTestId('badge')).toContainText('Simulated');
  expect(errors).toEqual([]);
});

test('the nodes\' own files are opened together, and a changed one is refused in words', async ({ page }) => {
  await openWorkbench(page, { scenario: 'two-phase/three-signers' });
  const recordings = join(folder, 'cluster', 'recordings');
  const files = readdirSync(recordings).map((name) => join(recordings, name));
  expect(files).toHaveLength(3);
  await page.getByTestId('open').setInputFiles(files);
  await expect(page.getByTestId('opened')).toContainText('3 recorded lives');
  const bent = readFileSync(files[0]);
  bent[bent.length >> 1] ^= 1;
  writeFileSync(join(folder, 'bent.rec'), bent);
  await page.getByTestId('open').setInputFiles(join(folder, 'bent.rec'));
  await expect(page.getByTestId('refused')).toContainText(/bent\.rec: the file is damaged at byte \d+/);
  await page.getByTestId('open').setInputFiles({ name: 'notes.trace', mimeType: 'text/plain', buffer: Buffer.from('hello') });
  await expect(page.getByTestId('refused')).toContainText('notes.trace: not a trace');
});
