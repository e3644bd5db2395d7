// Faults by hand in a live room: told to every tab, felt by every node, and taken back.

import { expect as base, test } from '@playwright/test';
import { allIn, allUp, freshRoom, openTab, refuseErrors } from './support.mjs';

// A bound on hanging, not on time.
const expect = base.configure({ timeout: 20_000 });

/** The nodes that a tab runs, whatever it shows. */
const nodesHere = async (page) => (await page.getByTestId('live').getAttribute('data-hosts')).split(' ').filter(Boolean).map(Number);

const node = (page, id) => page.getByTestId(`live-node-${id}`);

async function submits(page, event) {
  await page.getByTestId('submit-event').fill(event);
  await page.getByTestId('submit').click();
}

const outcome = (page, event) => page.locator(`[data-testid=submission][data-name=${event}]`);

/** Opens the inspector of a node. */
async function inspect(page, id) {
  if ((await page.getByTestId('inspector').count()) > 0) await page.getByRole('button', { name: 'Close the inspector' }).click();
  await page.getByTestId(`node-${id}`).click();
  await expect(page.getByTestId('break')).toBeVisible();
}

/** Three tabs with a node each. */
async function threeTabs(context) {
  const room = freshRoom();
  const tabs = [];
  for (let tab = 0; tab < 3; tab += 1) tabs.push(await openTab(context, room));
  await expect.poll(async () => (await Promise.all(tabs.map(nodesHere))).map((nodes) => nodes.length)).toEqual([1, 1, 1]);
  for (const tab of tabs) await allUp(tab);
  return { room, tabs };
}

test('a cut link carries nothing, every tab sees it, and healing lets the cluster decide', async ({ context }) => {
  const errors = [];
  const { room, tabs } = await threeTabs(context);
  tabs.forEach((tab) => refuseErrors(tab, errors));
  await inspect(tabs[0], 1);
  await tabs[0].getByTestId('link-1-2-cut').click();
  await inspect(tabs[1], 3);
  await tabs[1].getByTestId('link-1-3-cut').click();
  await tabs[1].getByTestId('link-2-3-cut').click();
  for (const tab of tabs) await expect(tab.getByTestId('in-force').locator('li')).toHaveText(['Link 1 – 2: cut.', 'Link 1 – 3: cut.', 'Link 2 – 3: cut.']);
  // A tab that comes later hears of it too.
  const late = await openTab(context, room);
  await expect(late.getByTestId('in-force').locator('li')).toHaveCount(3);
  await late.close();
  await expect.poll(async () => (await Promise.all(tabs.map(nodesHere))).flat().sort()).toEqual([1, 2, 3]);
  for (const tab of tabs) await allUp(tab);

  await tabs[2].evaluate((name) => {
    window.heard = [];
    new BroadcastChannel(`phaselab/${name}`).onmessage = ({ data }) => window.heard.push(data);
  }, room);
  await submits(tabs[0], 'rent');
  await tabs[0].waitForTimeout(2_000);
  expect(await tabs[2].evaluate(() => window.heard.length)).toBe(0);
  await expect(outcome(tabs[0], 'rent')).not.toHaveAttribute('data-outcome', 'decided');
  for (const id of [1, 2, 3]) await expect(node(tabs[0], id)).not.toHaveAttribute('data-phase', 'completed');

  await tabs[2].getByTestId('heal').click();
  await expect(outcome(tabs[0], 'rent')).toHaveAttribute('data-outcome', 'decided');
  for (const tab of tabs) {
    await allIn(tab, 'completed');
    await expect(tab.getByTestId('in-force')).toHaveCount(0);
  }
  expect(errors).toEqual([]);
});

test('links are made late and lossy, and the protocol gets through', async ({ context }) => {
  const room = freshRoom();
  const tab = await openTab(context, room);
  await allUp(tab);
  await inspect(tab, 2);
  await tab.getByTestId('link-1-2-late').click();
  await expect(tab.getByTestId('break-1-2')).toHaveAttribute('data-state', 'late');
  await expect(tab.getByTestId('link-1-2-late')).toHaveAttribute('aria-pressed', 'true');
  await tab.getByTestId('link-2-3-lossy').click();
  await expect(tab.getByTestId('in-force').locator('li')).toHaveText(['Link 1 – 2: 1000 ms late.', 'Link 2 – 3: 500 of 1000 lost.']);
  await tab.evaluate((name) => {
    window.heard = [];
    new BroadcastChannel(`phaselab/${name}`).onmessage = ({ data }) => window.heard.push([performance.now(), [...data.to].join(' '), data.bytes.join(' ')]);
  }, room);
  await submits(tab, 'rent');
  await expect(outcome(tab, 'rent')).toHaveAttribute('data-outcome', 'decided');
  await allIn(tab, 'completed');
  // One packet of node 1 goes to node 3 at once, and to node 2 a second later.
  const gaps = () => tab.evaluate(() => {
    const when = (bytes, to) => window.heard.find(([, whom, what]) => what === bytes && whom === to)?.[0];
    const both = window.heard.filter(([, to]) => to === '3').map(([at, , bytes]) => when(bytes, '2') - at);
    return both.filter((gap) => gap >= 900).length;
  });
  await expect.poll(gaps).toBeGreaterThan(0);
  // The same button takes it back.
  await tab.getByTestId('link-1-2-late').click();
  await tab.getByTestId('link-2-3-lossy').click();
  await expect(tab.getByTestId('in-force')).toHaveCount(0);
});

test('a paused node handles nothing until it goes on, and then all of it', async ({ context }) => {
  const { tabs } = await threeTabs(context);
  await inspect(tabs[0], 2);
  await tabs[0].getByTestId('pause').click();
  for (const tab of tabs) {
    await expect(node(tab, 2)).toHaveAttribute('data-standing', 'paused');
    await expect(tab.getByTestId('node-2')).toContainText('paused');
  }
  await submits(tabs[0], 'rent');
  await expect(outcome(tabs[0], 'rent')).toHaveAttribute('data-outcome', 'decided');
  for (const id of [1, 3]) await expect(node(tabs[0], id)).toHaveAttribute('data-phase', 'completed');
  await expect(tabs[0].getByTestId('lane-2').or(tabs[0].locator('[data-testid=inspector-phase]')).first()).not.toContainText('completed');
  await tabs[1].getByTestId('node-2').click();
  await tabs[1].getByTestId('pause').click();
  for (const tab of tabs) {
    await allUp(tab);
    await allIn(tab, 'completed');
  }
});

test('any tab crashes and restarts any node, by key too, and it stays down where it moves', async ({ context }) => {
  const { tabs } = await threeTabs(context);
  const owner = (await Promise.all(tabs.map(nodesHere))).findIndex(([id]) => id === 3);
  const others = tabs.filter((_, place) => place !== owner);
  const life = Number(await node(others[0], 3).getAttribute('data-life'));
  await others[0].getByTestId('node-3').click();
  await others[0].keyboard.press('c');
  for (const tab of tabs) {
    await expect(node(tab, 3)).toHaveAttribute('data-standing', 'crashed');
    await expect(tab.getByTestId('in-force')).toContainText('Node 3 is crashed.');
  }
  // Its tab closes: another one takes it over, and does not start it.
  await tabs[owner].close();
  await expect.poll(async () => (await Promise.all(others.map(nodesHere))).flat().sort()).toEqual([1, 2, 3]);
  await others[0].waitForTimeout(3_000);
  await expect(node(others[1], 3)).toHaveAttribute('data-standing', 'crashed');
  expect(Number(await node(others[1], 3).getAttribute('data-life'))).toBe(life);
  await others[1].getByTestId('restart-3').click();
  await expect(node(others[0], 3)).toHaveAttribute('data-standing', 'up');
  await expect.poll(async () => Number(await node(others[0], 3).getAttribute('data-life'))).toBe(life + 1);

  // X cuts off the selected node, and connects it again.
  await others[0].locator('main').click({ position: { x: 2, y: 2 } });
  await expect(others[0].getByTestId('inspector')).toHaveAttribute('data-node', '3');
  await others[0].keyboard.press('x');
  await expect(others[1].getByTestId('in-force').locator('li')).toHaveText(['Link 1 – 3: cut.', 'Link 2 – 3: cut.']);
  await others[0].keyboard.press('x');
  await expect(others[1].getByTestId('in-force')).toHaveCount(0);
});

test('a node whose worker is gone shows it, and is started again', async ({ context }) => {
  await context.addInitScript(() => {
    const Native = window.Worker;
    window.workers = [];
    window.Worker = class extends Native {
      constructor(...words) {
        super(...words);
        this.order = undefined;
        window.workers.push(this);
      }

      postMessage(order, ...more) {
        this.order = order;
        super.postMessage(order, ...more);
      }
    };
  });
  const tab = await openTab(context, freshRoom());
  await allUp(tab);
  // Behind the page's back, as a browser that lacks memory does it.
  await tab.evaluate(() => window.workers.find(({ order }) => order.node === 2).terminate());
  await expect(node(tab, 2)).toHaveAttribute('data-standing', 'crashed');
  await expect(tab.getByTestId('node-2')).toContainText('crashed');
  await submits(tab, 'rent');
  await expect(outcome(tab, 'rent')).toHaveAttribute('data-outcome', 'decided');
  await tab.getByTestId('restart-2').click();
  await expect(node(tab, 2)).toHaveAttribute('data-standing', 'up');
  await allIn(tab, 'completed');
  await expect(node(tab, 2)).toHaveAttribute('data-life', '2');
});

test('a link is picked in the picture and broken there, at 390 px too', async ({ context }) => {
  const tab = await openTab(context, freshRoom());
  await allUp(tab);
  await tab.getByRole('button', { name: /^Link 1 – 3|^Link between nodes? 1 and 3|1.*3/ }).and(tab.locator('button.link')).first().click();
  await expect(tab.getByTestId('inspector')).toContainText('Link 1 – 3');
  await tab.getByTestId('link-1-3-cut').click();
  await expect(tab.getByTestId('in-force').locator('li')).toHaveText(['Link 1 – 3: cut.']);
  await expect(tab.locator('button.link.is-cut')).toHaveCount(1);
  // The key means the link that is selected.
  await tab.keyboard.press('x');
  await expect(tab.getByTestId('in-force')).toHaveCount(0);
  await tab.setViewportSize({ width: 390, height: 844 });
  await expect(tab.getByTestId('link-1-3-cut')).toBeVisible();
  expect(await tab.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  for (const id of ['link-1-3-cut', 'link-1-3-late', 'link-1-3-lossy']) {
    expect((await tab.getByTestId(id).boundingBox()).height).toBeGreaterThanOrEqual(44);
  }
  await tab.getByTestId('link-1-3-late').click();
  await expect(tab.getByTestId('link-1-3-late')).toHaveAttribute('aria-pressed', 'true');
});

test('junk on the channel of faults changes nothing', async ({ context }) => {
  const room = freshRoom();
  const tab = await openTab(context, room);
  await allUp(tab);
  await tab.evaluate((name) => {
    const channel = new BroadcastChannel(`phaselab/${name}/faults`);
    for (const junk of [null, 7, 'heal', new Uint8Array([1]), new Uint8Array([1, 5, 0, 0, 1, 99, 0]), new Uint8Array(400_000)]) channel.postMessage(junk);
  }, room);
  await submits(tab, 'rent');
  await allIn(tab, 'completed');
  await expect(tab.getByTestId('in-force')).toHaveCount(0);
});
