// The simulator of the npm package: the same runs as the command line's, and a cursor that moves both ways.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Simulation, parseScenario, scenarios } from 'phaselab';
import { phaselab } from './cli.mjs';

const all = scenarios();

test('the package knows the scenarios that the command line knows', () => {
  assert.ok(all.length > 0);
  const names = all.map(({ name }) => name);
  assert.ok(names.includes('two-phase/three-signers'));
  for (const { name, title, protocol, nodes, source } of all) {
    assert.ok(title && nodes > 0 && source.includes('protocol'), name);
    assert.ok(name.startsWith(`${protocol}/`), name);
  }
});

test('three signers decide', () => {
  const run = new Simulation('three-signers');
  assert.equal(run.now, 0);
  run.run();
  const report = run.report();
  assert.deepEqual(report.decisions[0].nodes, [1, 2, 3]);
  assert.deepEqual(report.nodes.map(({ instances }) => instances[0].phase), Array(3).fill('completed'));
  assert.ok(report.invariants.every(({ holds }) => holds));
  assert.ok(report.expectations.every(({ met }) => met));
});

for (const { name } of all) {
  test(`${name}: the report is the command line's`, () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    for (const args of [[], ['--seed', String(seed)]]) {
      const expected = phaselab('sim', name, ...args);
      const run = new Simulation(name, args.length ? { seed } : undefined);
      run.run();
      const found = run.report();
      assert.equal(found.trace_hash, expected.trace_hash, `seed ${found.seed}`);
      assert.equal(run.traceHash, expected.trace_hash);
      assert.deepEqual(found, expected);
    }
  });
}

test('a seek shows what stepping showed', () => {
  const run = new Simulation('three-signers', { seed: 11 });
  const show = () => [run.now, run.steps, run.traceHash, run.glances(), run.flights(), run.view(2), run.events(0, 1000)];
  const shown = [show()];
  while (run.step()) shown.push(show());
  for (let i = 0; i < 20; i += 1) {
    const step = Math.floor(Math.random() * shown.length);
    run.seek(step);
    assert.deepEqual(show(), shown[step], `step ${step}`);
  }
  run.seekTime(0);
  run.runUntil(120);
  assert.ok(run.now <= 120);
  run.seek(1e9);
  assert.equal(run.step(), undefined, 'the end of the run');
});

test('events are sentences with ids, and messages are in flight between leaving and arriving', () => {
  const run = new Simulation('three-signers');
  run.runUntil(101);
  const flights = run.flights();
  assert.equal(flights.length, 6, 'three proposals to two each');
  for (const flight of flights) {
    assert.ok(flight.sent_ms <= 101 && flight.arrives_ms > 101);
    assert.equal(flight.shape, 'propose');
    assert.match(flight.letter, /^[AB]$/);
  }
  run.run();
  const events = run.events(0, run.eventCount);
  assert.equal(events.length, run.eventCount);
  const ids = new Set(events.map(({ step, index }) => `${step}.${index}`));
  assert.equal(ids.size, events.length, 'ids differ');
  const locked = events.find(({ kind }) => kind === 'locked');
  assert.match(locked.sentence, /^Node \d counts 2 of 3 proposals for [AB] \(needs 2\) and locks [AB]\.$/);
  assert.ok(events.every(({ sentence }) => sentence.length <= 90));
  assert.deepEqual(run.events(5, 3), events.slice(5, 8));
});

test('what is done by hand changes the run from there on', () => {
  const run = new Simulation('three-signers');
  run.runUntil(100);
  const before = run.traceHash;
  run.intervene('do = "crash"\nnode = 3');
  assert.notEqual(run.traceHash, before);
  run.run();
  const report = run.report();
  assert.equal(report.nodes[2].alive, false);
  assert.deepEqual(report.decisions[0].nodes, [1, 2]);
  assert.equal(report.faults.crash_between_steps, 1);
});

test('why: the causes of an end, and whom a node lacks, as the command line tells it', () => {
  const run = new Simulation('three-signers');
  run.run();
  const { id } = run.view(2).instances[0];
  const expected = phaselab('sim', 'three-signers', '--why', 'withdraw-1@2').why;
  const why = run.why(2, id);
  assert.deepEqual(why, expected);
  assert.equal(why.ended, true);
  assert.match(why.summary, /^Node 2 decided A because of locks of round 0 from nodes \d, \d\.$/);
  assert.equal(why.lines.at(-1).kind, 'decided');
  for (const { because } of why.lines.slice(1)) assert.ok(because.every((at) => at < why.lines.length));
  // As the run stood when it was half over.
  run.seek(why.lines.at(-1).step);
  const open = run.why(2, id);
  assert.equal(open.ended, false);
  assert.deepEqual(open.lacks.map(({ meter, have, need }) => [meter, have, need]), [['locks', 1, 2]]);
  assert.throws(() => run.why(4, id), /node 4 does not exist; expected 1 to 3/);
  assert.throws(() => run.why(1, 'withdraw-1'), /no node knows an instance withdraw-1/);
});

test('a seed beyond what numbers hold is taken as a BigInt', () => {
  const seed = 2n ** 63n + 5n;
  const run = new Simulation('three-signers', { seed });
  run.run();
  assert.equal(run.traceHash, phaselab('sim', 'three-signers', '--seed', String(seed)).trace_hash);
  assert.equal(run.report().seed, Number(seed));
});

test('errors are readable', () => {
  const text = 'protocol = "two-phase"\nnodes = 3\n';
  const throws = (body, message) => assert.throws(body, (error) => error instanceof Error && message.test(error.message));
  throws(() => parseScenario(`${text}[network]\nlantency_ms = [1, 2]\n`, 'three.toml'), /^three\.toml:4: unknown key "lantency_ms"; did you mean latency_ms\?$/);
  throws(() => parseScenario('protocol = "three-phase"\nnodes = 3'), /two-phase/);
  throws(() => new Simulation('three-singers'), /three-signers/);
  throws(() => new Simulation('three-signers', { seed: -1 }), /seed: expected/);
  throws(() => new Simulation('three-signers', { seed: 'x' }), /seed: expected/);
  const run = new Simulation(text);
  throws(() => run.view(4), /node 4 does not exist; expected 1 to 3/);
  throws(() => run.view(NaN), /does not exist/);
  throws(() => run.intervene('do = "crush"\nnode = 1'), /^line 1: unknown do "crush"; did you mean crash\?$/);
  throws(() => run.intervene('do = "crash"\nnode = 9'), /node 9 does not exist/);
  throws(() => run.intervene('do = "heal"\n[[at]]\nms = 1\ndo = "heal"'), /expected one intervention/);
  assert.equal(run.step() !== undefined, true, 'the run goes on after a refusal');
});
