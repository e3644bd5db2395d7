// Exports of the npm package: the same bytes as the command line's, and readable errors.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Simulation, exportRun } from 'phaselab';
import { write } from './cli.mjs';

const formats = ['svg', 'itf', 'shiviz', 'perfetto', 'toml', 'trace'];

test('files are the same as those of the command line', () => {
  const folder = mkdtempSync(join(tmpdir(), 'phaselab-export-'));
  try {
    for (const format of formats) {
      const file = join(folder, format);
      write('export', 'three-signers', '--format', format, '--out', file);
      const found = exportRun('three-signers', format);
      assert.ok(Buffer.from(found).equals(readFileSync(file)), format);
      // A trace is a run as well.
      const again = exportRun(exportRun('three-signers', 'trace'), format);
      assert.ok(Buffer.from(again).equals(Buffer.from(found)), format);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('exports tell which run they are', () => {
  const simulation = new Simulation('two-phase/late-joiner');
  simulation.run();
  const text = (format) => Buffer.from(exportRun('two-phase/late-joiner', format)).toString();
  assert.ok(text('svg').includes(simulation.traceHash));
  const { otherData, traceEvents } = JSON.parse(text('perfetto'));
  assert.equal(otherData.trace_hash, simulation.traceHash);
  assert.ok(traceEvents.some(({ ph }) => ph === 's') && traceEvents.some(({ ph }) => ph === 'f'));
  assert.equal(JSON.parse(text('itf'))['#meta'].format, 'ITF');
});

test('what is no run or no format is refused in a sentence', () => {
  assert.throws(() => exportRun('three-signers', 'pdf'), /^Error: format: expected one of svg, itf, shiviz, perfetto, toml, trace, jepsen-edn, jepsen-json$/);
  assert.throws(() => exportRun('nowhere', 'svg'), /no scenario "nowhere"/);
  assert.throws(() => exportRun('#/run/AAAA', 'svg'), /Not a link|damaged/);
  assert.throws(() => exportRun(new Uint8Array(9), 'svg'), /not a trace/);
  assert.throws(() => exportRun(7, 'svg'), /run: expected text, or a Uint8Array/);
});
