// The checker, the museum and the exports: the npm package, fetched when somebody asks for one of them, in a thread of its
// own.
import init, { Checker, encodeScenario, exportRun, museum } from './checker/phaselab.js';

/** How long a slice of the search should take, in milliseconds. */
const sliceMs = 60;

self.onmessage = async ({ data }) => {
  try {
    await init();
    if (data.kind === 'museum') {
      const exhibits = museum().map((exhibit) => ({ ...exhibit, text: exhibit.scenario, scenario: encodeScenario(exhibit.scenario) }));
      postMessage({ kind: 'museum', exhibits });
    } else if (data.kind === 'export') {
      postMessage({ kind: 'exported', file: exportRun(data.run, data.format) });
    } else {
      search(new Checker(data.scenario, data.bounds, { seed: data.seed, flaws: data.flaws }));
    }
  } catch (error) {
    postMessage({ kind: 'failed', text: error.message });
  }
};

/** Searches in slices, and tells after each how far it has come. */
function search(checker) {
  const started = performance.now();
  let states = 16;
  for (let over = false; !over; ) {
    const from = performance.now();
    const progress = checker.advance(states);
    const now = performance.now();
    states = Math.max(16, Math.min(states * 2, Math.round((states * sliceMs) / Math.max(now - from, 1))));
    postMessage({ kind: 'progress', bounds: checker.bounds, seconds: (now - started) / 1000, ...progress });
    over = progress.over;
  }
  const { complete, violation } = checker.outcome();
  const scenario = violation?.scenario && encodeScenario(violation.scenario);
  postMessage({ kind: 'ended', complete, ...violation, scenario });
}
