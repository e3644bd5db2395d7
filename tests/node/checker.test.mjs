// The checker of the npm package: the numbers of the command line, and counterexamples that the simulator plays.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Checker, Simulation, encodeScenario, museum } from 'phaselab';
import { phaselab } from './cli.mjs';

/** Searches to the end, so many states at a time. */
function search(checker, slice = 1000) {
  let progress;
  do progress = checker.advance(slice); while (!progress.over);
  const outcome = checker.outcome();
  assert.deepEqual([progress.distinct, progress.generated, progress.depth], [outcome.distinct, outcome.generated, outcome.depth]);
  return outcome;
}

test('the counts of a cluster are the native ones, whatever the slices', () => {
  for (const [crashes, expected] of [[0, [115, 359, 6]], [1, [1364, 5008, 7]]]) {
    for (const slice of [1, 7, 1e9]) {
      const checker = new Checker('divergent-views', { rounds: 1, crashes });
      const { distinct, generated, depth, complete, violation } = search(checker, slice);
      assert.deepEqual([distinct, generated, depth], expected);
      assert.ok(complete);
      assert.equal(violation, null);
      assert.match(checker.bounds, new RegExp(`^rounds below 1, ${crashes} crashes, .*a decided instance is at rest$`));
    }
  }
});

test('the counts of the textbook are the published ones', () => {
  const { distinct, depth, complete } = search(new Checker(null, {}, { model: 'two-phase-commit', size: 3 }));
  assert.deepEqual([distinct, depth, complete], [288, 11, true]);
  const { violation } = search(new Checker(null, {}, { model: 'broken-commit', size: 2 }));
  assert.equal(violation.invariant, 'consistent');
  assert.equal(violation.scenario, null);
  assert.equal(violation.trace.length, violation.steps);
});

test('the simulator plays what the checker found', () => {
  const { scenario } = museum().find(({ id }) => id === 'S0-F17');
  const { violation } = search(new Checker(scenario, { rounds: 1, crashes: 0 }));
  assert.equal(violation.invariant, 'withdrawal');
  const broken = (text) => {
    const run = new Simulation(text);
    run.run();
    return run.report().invariants.filter(({ holds }) => !holds).map(({ name }) => name);
  };
  assert.deepEqual(broken(violation.scenario), ['withdrawal']);
  const hardened = search(new Checker(scenario, { rounds: 1, crashes: 0 }, { flaws: [] }));
  assert.equal(hardened.violation, null);
  assert.ok(hardened.complete);
});

test('a limit is said, and what is wrong gets a sentence', () => {
  const limited = search(new Checker('divergent-views', { rounds: 2, maxStates: 500 }));
  assert.equal(limited.complete, false);
  assert.equal(limited.violation, null);
  assert.ok(limited.distinct <= 501);
  const throws = (body, message) => assert.throws(body, (error) => error instanceof Error && message.test(error.message));
  throws(() => new Checker('divergent-views', { crashes: 256 }), /^crashes: expected a whole number from 0 to 255$/);
  throws(() => new Checker('divergent-views', { lateRequests: 1 }), /^lateRequests: expected true or false$/);
  throws(() => new Checker('divergent-view'), /divergent-views/);
  throws(() => new Checker('divergent-views', {}, { flaws: ['S0-F99'] }), /S0-F99/);
  throws(() => new Checker(null, {}, { model: 'pax' }), /^model: expected one of tcommit/);
  throws(() => new Checker(null, {}, { model: 'paxos', size: 9 }), /^paxos: size 9: expected 1 to 6/);
});

test('every exhibit of the command line is listed, and breaks what it says', () => {
  const listed = museum();
  const expected = phaselab('museum').map(({ how, ...exhibit }) => exhibit);
  assert.deepEqual(listed.map(({ scenario, schedule, refused, ...exhibit }) => exhibit), expected);
  for (const { id, invariant, scenario, schedule, refused } of listed) {
    assert.equal(refused !== null, id === 'S0-F25');
    assert.ok(schedule.every(({ text }) => text.length > 0), id);
    assert.ok(encodeScenario(scenario).length > 0);
    const run = new Simulation(scenario);
    run.run();
    const { flaws, invariants, expectations } = run.report();
    assert.deepEqual(flaws, [id]);
    assert.ok(expectations.every(({ met }) => met), id);
    const verdict = invariants.find(({ name }) => name === invariant);
    if (verdict) assert.equal(verdict.holds, false, id);
  }
});
