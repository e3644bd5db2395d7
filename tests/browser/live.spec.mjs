// A live room: nodes in tabs decide, move when a tab closes, and refuse junk.

import { expect, test } from '@playwright/test';
import { allIn, allUp, freshRoom, nodesHere, openTab, refuseErrors } from './support.mjs';

/** The signatures that observers heard of: [node, sentence] each. */
const signatures = (page) => page.locator('[data-testid=event][data-kind=signed]').evaluateAll((all) => all.map((row) => `${row.dataset.node} ${row.querySelector('.event-text').textContent}`));

test('three tabs share three nodes, decide, and take over when one closes', async ({ context }) => {
  const errors = [];
  const room = freshRoom();
  const first = await openTab(context, room);
  refuseErrors(first, errors);
  await allUp(first);
  expect(await nodesHere(first)).toEqual([1, 2, 3]);

  const tabs = [first, await openTab(context, room), await openTab(context, room)];
  await expect.poll(async () => (await Promise.all(tabs.map(nodesHere))).map((nodes) => nodes.length), { timeout: 15_000 }).toEqual([1, 1, 1]);
  for (const tab of tabs) {
    await expect(tab.getByTestId('badge')).toHaveText('Live · hardened · Ed25519 · 3 tabs');
    await allUp(tab);
  }

  await tabs[1].getByTestId('submit-event').fill('rent');
  await tabs[1].getByTestId('submit-amount').fill('25');
  await tabs[1].getByTestId('submit').click();
  for (const tab of tabs) await allIn(tab, 'completed');
  await expect(tabs[1].getByTestId('submission')).toHaveAttribute('data-outcome', 'decided');
  const values = await Promise.all(tabs.map((tab) => tab.getByTestId('card').first().getAttribute('data-value')));
  expect(new Set(values).size).toBe(1);
  const signed = await signatures(first);
  expect(signed.length).toBeGreaterThanOrEqual(2);
  expect(new Set(signed).size).toBe(signed.length);

  const [orphan] = await nodesHere(tabs[2]);
  const life = Number(await first.getByTestId(`live-node-${orphan}`).getAttribute('data-life'));
  const closed = Date.now();
  await tabs[2].close();
  await expect.poll(async () => Number(await first.getByTestId(`live-node-${orphan}`).getAttribute('data-life')), { timeout: 5_000 }).toBeGreaterThan(life);
  expect(Date.now() - closed).toBeLessThan(5_000);
  await expect.poll(async () => [...(await nodesHere(first)), ...(await nodesHere(tabs[1]))].sort().join(' ')).toBe('1 2 3');
  // The same vote, and no second signature.
  await allIn(first, 'completed');
  await first.waitForTimeout(1_500);
  expect(await signatures(first)).toEqual(signed);
  expect(await first.getByTestId('card').first().getAttribute('data-value')).toBe(values[0]);

  // The cluster goes on deciding.
  await first.getByTestId('submit-event').fill('fuel');
  await first.getByTestId('submit').click();
  await expect(first.locator('[data-testid=submission][data-name=fuel]')).toHaveAttribute('data-outcome', 'decided', { timeout: 15_000 });
  expect(errors).toEqual([]);
});

test('junk, replayed and forged packets are refused and change nothing', async ({ context }) => {
  const room = freshRoom();
  const tab = await openTab(context, room);
  await allUp(tab);
  await tab.evaluate((name) => {
    window.packets = [];
    window.channel = new BroadcastChannel(`phaselab/${name}`);
    window.channel.onmessage = ({ data }) => window.packets.push(data);
  }, room);
  await tab.getByTestId('submit').click();
  await allIn(tab, 'completed');
  const card = await tab.getByTestId('card').first().getAttribute('data-value');
  const refused = async () => Promise.all([1, 2, 3].map(async (node) => Number(await tab.getByTestId(`live-node-${node}`).getAttribute('data-refused'))));
  const before = await refused();
  const sent = await tab.evaluate(() => {
    const old = window.packets.filter(({ to }) => to.length === 0).slice(0, 3);
    const forged = old.map(({ to, bytes }) => ({ to, bytes: Uint8Array.from(bytes, (byte, index) => (index === 60 ? byte ^ 1 : byte)) }));
    const junk = [new Uint8Array([1, 2, 3]), 'junk', null, 7, { to: 'all', bytes: 1 }, { to: [], bytes: new Uint8Array(400_000) }];
    const all = [...old, ...forged, ...junk];
    for (const packet of all) window.channel.postMessage(packet);
    return all.length;
  });
  await expect.poll(refused).toEqual(before.map((count) => count + sent));
  await allIn(tab, 'completed');
  expect(await tab.getByTestId('card').first().getAttribute('data-value')).toBe(card);
  expect((await signatures(tab)).length).toBe(new Set(await signatures(tab)).size);
});

test('a crashed node shows it, and comes back with what it promised', async ({ context }) => {
  const room = freshRoom();
  const tab = await openTab(context, room);
  await allUp(tab);
  await tab.getByTestId('crash-3').click();
  await expect(tab.getByTestId('live-node-3')).toHaveAttribute('data-standing', 'crashed');
  await expect(tab.getByTestId('node-3')).toContainText('crashed');
  // Two of three are enough.
  await tab.getByTestId('submit').click();
  await expect(tab.getByTestId('submission')).toHaveAttribute('data-outcome', 'decided', { timeout: 15_000 });
  await tab.getByTestId('restart-3').click();
  await expect(tab.getByTestId('live-node-3')).toHaveAttribute('data-standing', 'up');
  await allIn(tab, 'completed');
  await tab.reload();
  await allUp(tab);
  await allIn(tab, 'completed');
  expect(Number(await tab.getByTestId('live-node-3').getAttribute('data-life'))).toBeGreaterThanOrEqual(3);
});

test('a room is the same after every tab was closed, its chain included', async ({ context }) => {
  const room = freshRoom();
  const first = await openTab(context, room);
  await allUp(first);
  await first.getByTestId('submit-event').fill('rent');
  await first.getByTestId('submit').click();
  await allIn(first, 'completed');
  await first.close();
  const second = await openTab(context, room);
  await allUp(second);
  await allIn(second, 'completed');
  await second.getByTestId('submit-event').fill('fuel');
  await second.getByTestId('submit').click();
  await expect(second.getByTestId('submission')).toHaveAttribute('data-outcome', 'decided', { timeout: 15_000 });
  await allIn(second, 'completed');
});

test('where tabs cannot share, one hosts all and says so', async ({ context }) => {
  // As on a LAN address, which is not a secure context.
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined }));
  const room = freshRoom();
  const [first, second] = [await openTab(context, room), await openTab(context, room)];
  for (const tab of [first, second]) {
    await expect(tab.getByTestId('alone')).toHaveText('Tabs cannot share nodes at this address. Use localhost, https or the offline file.');
    await allUp(tab);
    expect(await nodesHere(tab)).toEqual([1, 2, 3]);
  }
  await first.getByTestId('submit').click();
  await allIn(first, 'completed');
  await expect(second.getByTestId('card')).toHaveCount(0);
});

test('of two lives of a node the later one writes, and the earlier one stops', async ({ context }) => {
  // Two copies of a tab where there are no locks: both run every node of the same room.
  await context.addInitScript(() => {
    Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined });
    sessionStorage.setItem('phaselab-tab', 'copied');
  });
  const room = freshRoom();
  const first = await openTab(context, room);
  await allUp(first);
  const second = await openTab(context, room);
  await allUp(second);
  await expect(second.getByTestId('live-node-1')).toHaveAttribute('data-life', '2');
  await second.getByTestId('submit').click();
  await allIn(second, 'completed');
  await expect(second.getByTestId('submission')).toHaveAttribute('data-outcome', 'decided');
  for (const node of [1, 2, 3]) {
    await expect(first.getByTestId(`restart-${node}`)).toBeVisible();
    await expect(second.getByTestId(`crash-${node}`)).toBeVisible();
  }
  const signed = await signatures(second);
  expect(signed.length).toBeGreaterThanOrEqual(2);
  expect(new Set(signed).size).toBe(signed.length);
});

test('leaving live mode gives the nodes away', async ({ context }) => {
  const room = freshRoom();
  const [first, second] = [await openTab(context, room), await openTab(context, room)];
  await allUp(second);
  await first.getByTestId('mode-simulate').click();
  await expect(first.getByTestId('simulate')).toBeVisible();
  await expect.poll(() => nodesHere(second), { timeout: 10_000 }).toEqual([1, 2, 3]);
  await allUp(second);
});
