// A sequence of named stages, each with a heading and its time, and a count at the end.

import { Failed, Missing } from './process.mjs';

/**
 * Runs every stage, also after one that failed, so that one run shows all there is to mend.
 * Only a failed `essential` stage ends the run: the later ones need what it did not get.
 * The last line of the output is `N passed, N failed`; the exit status is 1 when a stage failed.
 */
export function runStages(stages) {
  let passed = 0;
  const failures = [];
  for (const [index, { title, body, essential }] of stages.entries()) {
    console.log(`\n=== ${index + 1}/${stages.length} ${title}`);
    const start = performance.now();
    const end = (word) => console.log(`=== ${title}: ${word}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
    try {
      body();
      passed += 1;
      end('passed');
    } catch (error) {
      // Whatever a stage throws, the others still run and the count still comes.
      console.log(error instanceof Failed || error instanceof Missing ? error.message : error);
      failures.push(title);
      end('FAILED');
      if (essential) break;
    }
  }
  if (failures.length > 0) console.log(`\nfailed: ${failures.join(', ')}`);
  console.log(`${passed} passed, ${failures.length} failed`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}
