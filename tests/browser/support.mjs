// What the tests of the page share.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect } from '@playwright/test';

/** Opens a simulated run as a first visit shows it, and waits until it is at rest. */
export async function openRun(page, { scenario, seed, mode } = {}) {
  const parts = [mode, scenario && `scenario=${scenario}`, seed !== undefined && `seed=${seed}`].filter(Boolean);
  await page.goto(`/#${parts.join('&')}`);
  await atRest(page);
}

/** Opens a simulated run in the workbench, and waits until it is at rest. */
export async function openWorkbench(page, run) {
  await openRun(page, { ...run, mode: 'workbench' });
}

/** Waits until nothing plays, seeks or looks ahead. */
export async function atRest(page) {
  await expect(page.getByTestId('simulate')).toHaveAttribute('data-seeking', 'false', { timeout: 30_000 });
}

/** The row of an event, in a list that only has the rows in sight. */
export async function reveal(page, id) {
  const row = page.locator(`[data-event="${id}"]`);
  const list = page.getByTestId('events');
  for (let top = 0; (await row.count()) === 0; top += 800) {
    const end = await list.evaluate(async (element, px) => {
      element.scrollTop = px;
      await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
      return element.scrollHeight;
    }, top);
    expect(top, `row of ${id}`).toBeLessThan(end + 800);
  }
  return row;
}

/** Where the run stands. */
export async function step(page) {
  return Number(await page.getByTestId('simulate').getAttribute('data-step'));
}

/** Everything drawn on the stage and said beside it, one line per element, whatever the order of its attributes. */
export function drawn(page) {
  return page.evaluate(() => {
    const line = (element) => {
      const attributes = [...element.attributes].map(({ name, value }) => `${name}=${value}`).sort().join(' ');
      const text = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join('|');
      return `${element.tagName} ${attributes} ${text}`;
    };
    const parts = ['topology', 'lanes', 'cards', 'events', 'trace-hash', 'clock'];
    return parts.map((id) => document.querySelector(`[data-testid=${id}]`)).flatMap((part) => [part, ...part.querySelectorAll('*')].map(line));
  });
}

let rooms = 0;

/** A room that no other test uses. */
export function freshRoom() {
  rooms += 1;
  return `t${Date.now().toString(36)}-${rooms}`;
}

/** Opens a tab in a live room and waits until it has joined. */
export async function openTab(context, room) {
  const page = await context.newPage();
  await page.goto(`/?room=${room}#live`);
  await expect(page.getByTestId('live-node-1')).toBeVisible();
  return page;
}

/** The nodes that a tab runs. */
export async function nodesHere(page) {
  const text = await page.getByTestId('nodes-here').textContent();
  return text === 'none' ? [] : text.split(' ').map(Number);
}

/** Waits until every node is up in the eyes of a tab. */
export async function allUp(page, nodes = 3) {
  for (let node = 1; node <= nodes; node += 1) {
    await expect(page.getByTestId(`live-node-${node}`)).toHaveAttribute('data-standing', 'up', { timeout: 15_000 });
  }
}

/** Waits until every node shows a phase in the eyes of a tab. */
export async function allIn(page, phase, nodes = 3) {
  for (let node = 1; node <= nodes; node += 1) {
    await expect(page.getByTestId(`live-node-${node}`)).toHaveAttribute('data-phase', phase, { timeout: 15_000 });
  }
}

/** Lets console errors and exceptions of a page fail the test. */
export function refuseErrors(page, errors) {
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core objects to, by the rules of WCAG 2.2 AA and of target sizes; messages on their way aside. */
export async function violations(page) {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    for (const flight of document.querySelectorAll('[data-testid=flight]')) flight.setAttribute('inert', '');
    const values = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
    const { violations } = await window.axe.run(document, { runOnly: { type: 'tag', values }, rules: { 'target-size': { enabled: true } } });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
  });
}
