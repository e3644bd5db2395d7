// What the nodes of a live room record of their lives: a file, and a run that Simulate plays to the same decisions.

import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect as base, test } from '@playwright/test';
import { phaselab } from '../node/cli.mjs';
import { allIn, allUp, atRest, freshRoom, openTab, refuseErrors } from './support.mjs';

// A bound on hanging, not on time.
const expect = base.configure({ timeout: 30_000 });

async function decides(page, event) {
  await page.getByTestId('submit-event').fill(event);
  await page.getByTestId('submit').click();
  await expect(page.locator(`[data-testid=submission][data-name=${event}]`)).toHaveAttribute('data-outcome', 'decided');
}

/** Saves what a room recorded; returns where, and what the command line says of it. */
async function saved(tab) {
  const [download] = await Promise.all([tab.waitForEvent('download'), tab.getByTestId('save-recording').click()]);
  const file = join(tmpdir(), `phaselab-${process.pid}-${download.suggestedFilename()}`);
  await download.saveAs(file);
  return { file, name: download.suggestedFilename() };
}

test('a live room is recorded, and plays again in Simulate with the same decisions and digests', async ({ context }) => {
  const errors = [];
  const room = freshRoom();
  const tab = await openTab(context, room);
  refuseErrors(tab, errors);
  await allUp(tab);
  await decides(tab, 'rent');
  await allIn(tab, 'completed');
  const rent = await tab.getByTestId('card').first().getAttribute('data-value');
  // A crash, a cut and a second tab are part of it.
  await tab.getByTestId('crash-3').click();
  await expect(tab.getByTestId('live-node-3')).toHaveAttribute('data-standing', 'crashed');
  await decides(tab, 'fuel');
  await tab.getByTestId('restart-3').click();
  await allUp(tab);
  const second = await openTab(context, room);
  await expect.poll(async () => (await second.getByTestId('live').getAttribute('data-hosts')).length).toBeGreaterThan(0);
  await allUp(second);
  await decides(second, 'wine');
  await allIn(second, 'completed');
  await allIn(tab, 'completed');
  await second.close();
  await expect(tab.getByTestId('live')).toHaveAttribute('data-hosts', '1 2 3');
  await allUp(tab);

  const { file, name } = await saved(tab);
  expect(name).toBe(`${room}.rec`);
  const report = phaselab('replay', file);
  expect(report.same).toBe(true);
  expect(report.decisions.map(({ instance }) => instance).sort()).toEqual(['fuel', 'rent', 'wine']);
  expect(report.decisions.find(({ instance }) => instance === 'rent').value.startsWith(rent.slice(0, 8))).toBe(true);
  expect(readFileSync(file).subarray(0, 8).toString()).toBe('phaserec');

  // One click brings it to Simulate, in a tab beside the room, which goes on.
  const [replay] = await Promise.all([context.waitForEvent('page'), tab.getByTestId('replay').click()]);
  refuseErrors(replay, errors);
  await expect(replay.getByTestId('opened')).toContainText('which all came the same');
  await expect(replay.getByTestId('opened')).not.toContainText('not recorded');
  await expect(replay.getByTestId('badge')).toContainText('Live, recorded');
  await atRest(replay);
  await replay.getByTestId('end').click();
  await atRest(replay);
  for (const { instance, value } of report.decisions) {
    await expect(replay.getByTestId('decision').filter({ hasText: instance }).first()).toContainText(value.slice(0, 4));
  }
  await decides(tab, 'tea');
  expect(errors).toEqual([]);

  // The same file, opened by hand, plays to the hash that the command line tells.
  await replay.getByTestId('open').setInputFiles(file);
  await expect(replay.getByTestId('opened')).toContainText('which all came the same');
  await atRest(replay);
  await replay.getByTestId('end').click();
  await atRest(replay);
  await expect(replay.getByTestId('trace-hash')).toHaveText(report.trace_hash);
});

test('a recording whose tab is gone says so', async ({ page }) => {
  await page.goto('/#recording=blob:http://localhost/00000000-0000-0000-0000-000000000000');
  await expect(page.getByTestId('refused')).toContainText('The tab that kept this recording is gone.');
});
