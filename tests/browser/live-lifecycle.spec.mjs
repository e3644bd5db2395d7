// Tabs of a live room that are hidden, frozen, slow, of another version, or at an address that is not secure.

import { chromium, expect as base, test } from '@playwright/test';
import { Browser } from './cdp.mjs';
import { allIn, allUp, freshRoom, openTab } from './support.mjs';

// A bound on hanging, not on time.
const expect = base.configure({ timeout: 20_000 });

const outcome = (page, event) => page.locator(`[data-testid=submission][data-name=${event}]`);

let browser;
test.afterEach(async () => {
  await browser?.close();
  browser = undefined;
});

/** Three tabs of a browser that hides them, with a node each; the last one is in front. */
async function threeTabs(baseURL) {
  browser = await Browser.open();
  const address = `${baseURL}/?room=${freshRoom()}#live`;
  const tabs = [];
  for (let tab = 0; tab < 3; tab += 1) {
    tabs.push(await browser.tab(address));
    await tabs[tab].until('document.querySelectorAll("[data-testid^=live-node-]").length === 3');
  }
  const [first, second, front] = tabs;
  // Hidden tabs draw nothing: the one in front tells who runs what.
  await front.until('[...document.querySelectorAll("[data-testid^=live-node-]")].every((node) => node.dataset.standing === "up")');
  await front.until('new Set([...document.querySelectorAll("[data-testid^=live-node-]")].map((node) => node.dataset.tab)).size === 3');
  for (const tab of tabs) {
    const own = await tab.attribute('live', 'data-tab');
    tab.node = await front.evaluate(`document.querySelector('.live-node[data-tab="${own}"]').dataset.node`);
  }
  return { first, second, front };
}

/** What observers of a tab heard of signatures: the node and the sentence, each once. */
const signatures = (tab) => tab.evaluate(`[...document.querySelectorAll('[data-testid=event][data-kind=signed]')].map((row) => row.dataset.node + ' ' + row.querySelector('.event-text').textContent)`);

async function submits(tab, event) {
  const set = `(() => { const input = document.querySelector('[data-testid=submit-event]'); Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, '${event}'); input.dispatchEvent(new InputEvent('input', { bubbles: true })); })()`;
  await tab.evaluate(set);
  await tab.click('submit');
}

const decided = (event) => `document.querySelector('[data-testid=submission][data-name="${event}"]')?.dataset.outcome === 'decided'`;

test('a hidden tab votes, keeps receiving, and draws once when it returns', async ({ baseURL }) => {
  const { first, second, front } = await threeTabs(baseURL);
  for (const tab of [first, second]) await tab.until('document.hidden');
  expect(await front.evaluate('document.hidden')).toBe(false);
  // One of the three does not run: each of the two others is needed, and one of them is hidden.
  await front.click(`crash-${second.node}`);
  await front.until(`document.querySelector('[data-testid=live-node-${second.node}]').dataset.standing === 'crashed'`);
  await first.evaluate('window.frames_drawn = 0; window.heard = 0; new MutationObserver(() => { window.frames_drawn += 1; }).observe(document.querySelector("[data-testid=live]"), { subtree: true, childList: true, attributes: true }); new BroadcastChannel("phaselab/" + document.querySelector("[data-testid=live]").dataset.room + "/watch").onmessage = () => { window.heard += 1; }');
  const before = await first.evaluate('window.frames_drawn');
  await submits(front, 'rent');
  await front.until(decided('rent'));
  await front.until(`document.querySelector('[data-testid=live-node-${first.node}]').dataset.phase === 'completed'`);
  // It heard of all of it, and drew nothing for it.
  expect(await first.evaluate('window.heard')).toBeGreaterThan(3);
  expect(await first.evaluate('document.hidden')).toBe(true);
  expect(await first.evaluate('window.frames_drawn')).toBe(before);
  await first.toFront();
  await first.until(`document.querySelector('[data-testid=live-node-${front.node}]').dataset.phase === 'completed'`);
});

test('a frozen tab goes on as who it was, catches up, and votes once', async ({ baseURL }) => {
  test.setTimeout(120_000);
  const { first, second, front } = await threeTabs(baseURL);
  const life = await front.attribute(`live-node-${first.node}`, 'data-life');
  await first.freeze();
  await front.until(`document.querySelector('[data-testid=live-node-${first.node}]').dataset.standing === 'crashed'`);
  await submits(front, 'rent');
  await front.until(decided('rent'));
  await new Promise((done) => setTimeout(done, 10_000));
  // Its lock is held: nobody takes its node over, and two of three go on.
  expect(await front.attribute('live', 'data-tabs')).toBe('3');
  expect(await front.attribute(`live-node-${first.node}`, 'data-life')).toBe(life);
  await first.resume();
  await first.toFront();
  await first.until('document.querySelector("[data-testid=slept]") !== null');
  expect(await first.evaluate('document.querySelector("[data-testid=slept]").textContent.trim()')).toMatch(new RegExp(`^This tab slept \\d+ s; node ${first.node} (is catching up|has caught up)\\.$`));
  await first.until(`document.querySelector('[data-testid=live-node-${first.node}]').dataset.phase === 'completed'`);
  await first.until('document.querySelector("[data-testid=slept]").textContent.includes("has caught up")');
  expect(await first.attribute(`live-node-${first.node}`, 'data-life')).toBe(life);
  await second.toFront();
  // A tab that was hidden draws in the first frame after its return, not at once.
  await second.until('document.querySelectorAll("[data-testid=event][data-kind=signed]").length >= 2');
  const signed = await signatures(second);
  expect(new Set(signed).size).toBe(signed.length);
  const values = await Promise.all([first, second, front].map((tab) => tab.evaluate('document.querySelector("[data-testid=card]")?.dataset.value')));
  expect(new Set(values.filter(Boolean)).size).toBe(1);
});

test('a node that was taken from a frozen tab signs in one life only', async ({ baseURL }) => {
  test.setTimeout(120_000);
  const { first, second, front } = await threeTabs(baseURL);
  const life = Number(await front.attribute(`live-node-${first.node}`, 'data-life'));
  await submits(front, 'rent');
  await front.until(decided('rent'));
  await first.freeze();
  // The third tab leaves, so that there is room; and the lock of the frozen one is stolen.
  await second.browser.send('Target.closeTarget', { targetId: second.targetId });
  await front.until('document.querySelector("[data-testid=live]").dataset.tabs === "2"');
  await front.until('document.querySelector("[data-testid=live]").dataset.hosts.split(" ").length === 2');
  await front.evaluate(`navigator.locks.request('phaselab/' + document.querySelector('[data-testid=live]').dataset.room + '/tab/' + '${await front.attribute(`live-node-${first.node}`, 'data-tab')}', { steal: true }, () => {})`);
  await front.until('document.querySelector("[data-testid=live]").dataset.tabs === "1"');
  for (const part of ['chain', `node/${first.node}`]) await front.evaluate(`navigator.locks.request('phaselab/' + document.querySelector('[data-testid=live]').dataset.room + '/${part}', { steal: true }, () => {})`);
  await front.until('document.querySelector("[data-testid=live]").dataset.hosts === "1 2 3"');
  await front.until(`Number(document.querySelector('[data-testid=live-node-${first.node}]').dataset.life) > ${life}`);
  await submits(front, 'fuel');
  await front.until(decided('fuel'));
  await first.resume();
  await first.toFront();
  // The earlier life is fenced off: its tab gives the node up, or finds it stopped.
  await first.until(`!document.querySelector('[data-testid=live]').dataset.hosts.includes('${first.node}') || document.querySelector('[data-testid=restart-${first.node}]') !== null`);
  await front.toFront();
  await submits(front, 'wine');
  await front.until(decided('wine'));
  const signed = await signatures(front);
  expect(signed.length).toBeGreaterThanOrEqual(6);
  // Three payments: no node signs more often than once for each.
  for (const node of ['1', '2', '3']) expect(signed.filter((line) => line.startsWith(`${node} `)).length).toBeLessThanOrEqual(3);
});

test('at an address that is not secure every tab runs its own room, and says so', async ({ baseURL }, { project }) => {
  const { launchOptions } = project.use;
  const port = new URL(baseURL).port;
  const there = await chromium.launch({ ...launchOptions, args: [...launchOptions.args, '--host-resolver-rules=MAP classroom.test 127.0.0.1'] });
  try {
    const context = await there.newContext();
    const room = freshRoom();
    const tabs = [await context.newPage(), await context.newPage()];
    for (const tab of tabs) {
      await tab.goto(`http://classroom.test:${port}/?room=${room}#live`);
      expect(await tab.evaluate(() => [window.isSecureContext, navigator.locks === undefined])).toEqual([false, true]);
      await expect(tab.getByTestId('alone')).toHaveText('Tabs cannot share nodes at this address. Use localhost, https or the offline file.');
      await expect(tab.getByTestId('second-tab')).toHaveCount(0);
      await expect(tab.getByTestId('live')).toHaveAttribute('data-hosts', '1 2 3');
      await allUp(tab);
    }
    await tabs[0].getByTestId('submit').click();
    await allIn(tabs[0], 'completed');
    await expect(tabs[1].getByTestId('card')).toHaveCount(0);
    // A reload is the same room, with its promises.
    await tabs[0].reload();
    await allIn(tabs[0], 'completed');
    // Faults are felt here as well.
    await tabs[0].getByTestId('crash-2').click();
    await expect(tabs[0].getByTestId('live-node-2')).toHaveAttribute('data-standing', 'crashed');
    await expect(tabs[1].getByTestId('live-node-2')).toHaveAttribute('data-standing', 'up');
  } finally {
    await there.close();
  }
});

test('a newer version of the page gets the databases, and the older one says why it stops', async ({ context }) => {
  const room = freshRoom();
  const tab = await openTab(context, room);
  await allUp(tab);
  const newer = await context.newPage();
  await newer.goto('/static/mark.svg');
  const opened = await newer.evaluate((name) => new Promise((done) => {
    const request = indexedDB.open(name, 99);
    request.onupgradeneeded = () => {};
    request.onblocked = () => done('blocked');
    request.onsuccess = () => done('open');
    window.request = request;
  }), `phaselab/${room}/node-2`);
  expect(opened).toBe('open');
  await expect(tab.getByTestId('clash')).toHaveText('A newer version of this page is open; reload.');
  await expect(tab.getByTestId('live-node-2')).toHaveAttribute('data-standing', 'crashed');
  // The others decide.
  await tab.getByTestId('submit').click();
  await expect(outcome(tab, 'withdraw-1')).toHaveAttribute('data-outcome', 'decided');
  // Started again it finds a database that it does not know.
  await tab.getByTestId('restart-2').click();
  await tab.getByTestId('node-2').click();
  await expect(tab.getByTestId('inspector')).toContainText('A newer version of this page is open; reload.');
});

test('an older version of the page that holds on to a database is told, and waited for', async ({ context }) => {
  const room = freshRoom();
  const older = await context.newPage();
  await older.goto('/static/mark.svg');
  // As the first version of the page laid it out; it does not hear that a newer one wants it.
  await older.evaluate((name) => new Promise((done) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore('meta');
    request.onsuccess = () => { window.database = request.result; done(); };
  }), `phaselab/${room}/room`);
  const tab = await context.newPage();
  await tab.goto(`/?room=${room}#live`);
  await expect(tab.getByTestId('clash')).toHaveText('An older version of this page is open in another tab. Close or reload it; this one waits.');
  await older.evaluate(() => window.database.close());
  await allUp(tab);
  await expect(tab.getByTestId('clash')).toHaveCount(0);
});

test('a page that loses most of what nodes show has the whole picture in the end', async ({ context }) => {
  await context.addInitScript(() => {
    const property = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, 'onmessage');
    window.lost = 0;
    Object.defineProperty(BroadcastChannel.prototype, 'onmessage', {
      ...property,
      set(heard) {
        let count = 0;
        property.set.call(this, heard && this.name.endsWith('/watch') ? (event) => {
          count += 1;
          if (count % 4 !== 0) window.lost += 1;
          else heard(event);
        } : heard);
      },
    });
  });
  const tab = await openTab(context, freshRoom());
  await allUp(tab);
  await tab.getByTestId('submit').click();
  await allIn(tab, 'completed');
  expect(await tab.evaluate(() => window.lost)).toBeGreaterThan(5);
  await expect(tab.getByTestId('card')).not.toHaveCount(0);
  for (const node of [1, 2, 3]) {
    await tab.getByTestId(`node-${node}`).click();
    await expect(tab.getByTestId('inspector-phase')).toContainText('completed');
  }
});

test('a page that is busy slows no node down', async ({ context }) => {
  const room = freshRoom();
  const [busy, other] = [await openTab(context, room), await openTab(context, room)];
  await expect(busy.getByTestId('live')).toHaveAttribute('data-hosts', /^\d \d$/);
  for (const tab of [busy, other]) await allUp(tab);
  // A majority of the nodes runs in the busy tab. It draws and hears nothing until the decision is made elsewhere.
  await busy.evaluate((name) => {
    window.began = Date.now();
    setTimeout(() => {
      const until = Date.now() + 8_000;
      while (Date.now() < until);
      window.ended = Date.now();
    }, 0);
    return name;
  }, room);
  await other.getByTestId('submit-event').fill('rent');
  await other.getByTestId('submit').click();
  await expect(outcome(other, 'rent')).toHaveAttribute('data-outcome', 'decided');
  const decidedAt = Date.now();
  const ended = await busy.evaluate(() => window.ended);
  expect(decidedAt).toBeLessThan(ended);
  await allIn(busy, 'completed');
});

test('what a node promises is written with strict durability', async ({ context }) => {
  const tab = await context.newPage();
  const workers = [];
  tab.on('worker', (worker) => workers.push(worker));
  await tab.goto(`/?room=${freshRoom()}#live`);
  await allUp(tab);
  expect(workers).toHaveLength(4);
  for (const worker of workers) {
    await worker.evaluate(() => {
      const begin = IDBDatabase.prototype.transaction;
      self.seen = [];
      IDBDatabase.prototype.transaction = function transaction(stores, mode, options) {
        self.seen.push([[...stores].sort().join(' '), mode, options?.durability]);
        return begin.call(this, stores, mode, options);
      };
    });
  }
  await tab.getByTestId('submit').click();
  await allIn(tab, 'completed');
  const seen = (await Promise.all(workers.map((worker) => worker.evaluate(() => self.seen)))).flat();
  const promises = seen.filter(([stores, mode]) => mode === 'readwrite' && stores !== 'tape');
  expect(promises.length).toBeGreaterThan(5);
  expect(promises.filter(([, , durability]) => durability !== 'strict')).toEqual([]);
  // What is recorded beside it is not: it may be lost with the machine's power.
  const recorded = seen.filter(([stores]) => stores === 'tape');
  expect(recorded.length).toBeGreaterThan(0);
  expect(recorded.filter(([, , durability]) => durability !== 'relaxed')).toEqual([]);
});

test('five nodes in two tabs: at most three a tab, whoever comes and goes', async ({ context }) => {
  const room = freshRoom();
  const open = async () => {
    const page = await context.newPage();
    await page.goto(`/?room=${room}&nodes=5#live`);
    await expect(page.getByTestId('live-node-5')).toBeVisible();
    return page;
  };
  const hosts = async (tabs) => (await Promise.all(tabs.map((tab) => tab.getByTestId('live').getAttribute('data-hosts')))).map((text) => text.split(' ').filter(Boolean).length);
  const first = await open();
  await expect.poll(() => hosts([first])).toEqual([5]);
  const second = await open();
  await expect.poll(async () => (await hosts([first, second])).sort()).toEqual([2, 3]);
  const third = await open();
  await expect.poll(async () => Math.max(...(await hosts([first, second, third])))).toBe(2);
  await expect.poll(async () => (await hosts([first, second, third])).reduce((sum, count) => sum + count)).toBe(5);
  await first.close();
  await expect.poll(async () => (await hosts([second, third])).sort(), { timeout: 5_000 }).toEqual([2, 3]);
});
