// Sharing: a link opens the same run in another browser and in a terminal, and every download reads back.

import { readFileSync } from 'node:fs';
import { expect, test } from '@playwright/test';
import { phaselab } from '../node/cli.mjs';
import { atRest, openWorkbench, refuseErrors, step } from './support.mjs';

/** A link of format 2 to late-joiner with seed 5: what stands before its body is the same in every format. */
const ofOtherFormat = 'AgAFF_8JFXR3by1waGFzZS9sYXRlLWpvaW5lcgUAAAAAAAAAAAAAAABIJTnnCQkJ';

const hash = (page) => page.getByTestId('trace-hash').textContent();

/** Moves to the end of the run; gives the hash there. */
async function toTheEnd(page) {
  await page.getByTestId('end').click();
  await atRest(page);
  return hash(page);
}

test('an untouched run has a short command, and its hash is the terminal\'s', async ({ page }) => {
  await openWorkbench(page, { scenario: 'two-phase/late-joiner', seed: 11 });
  const end = await toTheEnd(page);
  await page.getByTestId('share').click();
  await expect(page.getByRole('heading', { name: 'Share this run' })).toBeFocused();
  await expect(page.getByTestId('share-hash')).toHaveText(end);
  const command = await page.getByTestId('share-command').inputValue();
  expect(command).toBe('phaselab sim late-joiner --seed 11');
  expect(phaselab(...command.split(' ').slice(1)).trace_hash).toBe(end);
  await page.getByRole('button', { name: 'Close sharing' }).click();
  await expect(page.getByTestId('share')).toBeFocused();
});

test('a run that was touched opens elsewhere where it stood, and ends the same there and in the terminal', async ({ page, browser }) => {
  await openWorkbench(page);
  for (let times = 0; times < 12; times += 1) await page.getByTestId('step').click();
  await page.getByTestId('node-1').click();
  await page.getByTestId('crash').click();
  for (let times = 0; times < 5; times += 1) await page.getByTestId('step').click();
  await atRest(page);
  const [shared, at] = [await hash(page), await step(page)];
  await page.getByTestId('share').click();
  const link = await page.getByTestId('share-link').inputValue();
  expect(link).toMatch(/#\/run\/[\w-]+$/);
  const command = await page.getByTestId('share-command').inputValue();
  expect(command).toMatch(/^phaselab sim --link '#\/run\/[\w-]+'$/);

  const context = await browser.newContext();
  const elsewhere = await context.newPage();
  const errors = [];
  refuseErrors(elsewhere, errors);
  await elsewhere.goto(link);
  await atRest(elsewhere);
  expect([await hash(elsewhere), await step(elsewhere)]).toEqual([shared, at]);
  await expect(elsewhere.getByTestId('lane-1')).toHaveAttribute('data-standing', 'standing-crashed');
  const end = await toTheEnd(page);
  expect(await toTheEnd(elsewhere)).toBe(end);
  expect(phaselab('sim', '--link', link).trace_hash).toBe(end);
  expect(phaselab('sim', '--link', /'(.*)'/.exec(command)[1]).trace_hash).toBe(end);
  expect(phaselab('sim', 'three-signers').trace_hash).not.toBe(end);
  expect(errors).toEqual([]);
  await context.close();
});

test('the link is copied, or selected where pages may not copy', async ({ page, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await openWorkbench(page);
  await page.getByTestId('share').click();
  const link = await page.getByTestId('share-link').inputValue();
  await page.getByRole('button', { name: 'Copy: Link to this moment' }).click();
  await expect(page.getByTestId('share-told')).toHaveText('Copied.');
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(link);
  await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
  await page.getByRole('button', { name: 'Copy: Link to this moment' }).click();
  await expect(page.getByTestId('share-told')).toContainText('Selected');
  expect(await page.evaluate(() => getSelection().toString() || document.activeElement.value)).toBe(link);
});

test('every download reads back', async ({ page }) => {
  await openWorkbench(page);
  const end = await toTheEnd(page);
  await page.getByTestId('share').click();
  const file = async (format) => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId(`export-${format}`).click()]);
    await expect(page.getByTestId('share-told')).toContainText('Saved three-signers.');
    return { name: download.suggestedFilename(), path: await download.path() };
  };
  const text = async (format) => readFileSync((await file(format)).path, 'utf8');
  const svg = await text('svg');
  const picture = await page.evaluate((svg) => {
    const parsed = new DOMParser().parseFromString(svg, 'image/svg+xml');
    return { root: parsed.documentElement.tagName, arrows: parsed.querySelectorAll('.delivered').length, broken: parsed.querySelector('parsererror') !== null };
  }, svg);
  expect(picture.root).toBe('svg');
  expect(picture.broken).toBe(false);
  expect(picture.arrows).toBeGreaterThan(5);
  expect(svg).toContain(end);
  expect(JSON.parse(await text('perfetto')).otherData.trace_hash).toBe(end);
  const states = JSON.parse(await text('itf'));
  expect(states['#meta'].format).toBe('ITF');
  expect(states.states.at(-1).instances['#map'].every(([, { decided }]) => decided !== '')).toBe(true);
  expect((await text('shiviz')).split('\n')[0]).toBe('(?<host>\\S*) (?<clock>{.*})\\n(?<event>.*)');
  expect(await text('toml')).toContain('protocol = "two-phase"');
  const trace = await file('trace');
  expect(trace.name).toBe('three-signers.trace');
  expect(phaselab('replay', trace.path).trace_hash).toBe(end);
});

test('a link that is damaged, or of another format, says so and offers a scenario', async ({ page }) => {
  await page.goto('/#/run/AwBkYW1hZ2Vk');
  await expect(page.getByTestId('link-refused')).toContainText('The link is damaged: it was cut off or changed.');
  await page.getByRole('link', { name: 'Open the first scenario' }).click();
  await atRest(page);
  await expect(page.getByTestId('simulate')).toHaveAttribute('data-scenario', 'two-phase/three-signers');
  await page.goto(`/#/run/${ofOtherFormat}`);
  await expect(page.getByTestId('link-refused')).toContainText(
    /Link made by trace format 2; this page reads \d+\. Open its scenario without the trace\?/,
  );
  await page.getByRole('link', { name: 'Open its scenario' }).click();
  await atRest(page);
  await expect(page.getByTestId('simulate')).toHaveAttribute('data-scenario', 'two-phase/late-joiner');
  await expect(page.getByTestId('seed')).toHaveValue('5');
});
