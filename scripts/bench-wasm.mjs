// npm run bench:wasm: the checker natively and in wasm, on the same searches, each several times in turns.
// Both run on one thread. The native time includes the start of the process; the wasm one the start of the search.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Failed, main, Missing, run, say } from './lib/process.mjs';
import { nativeEnvironment, targetDirectory } from './lib/toolchain.mjs';
import { root } from './lib/workspace.mjs';

const turns = 5;

/** States that the package expands between two looks at whether it is over. */
const slice = 50_000;

/** Each search: its name, the words of the command line, and what the package is given. */
const searches = [
  ['two-phase-commit of 7', ['--model', 'two-phase-commit', '--size', '7'], [null, {}, { model: 'two-phase-commit', size: 7 }]],
  ['divergent-views, one round, one crash', ['divergent-views', '--rounds', '1', '--crashes', '1'], ['divergent-views', { rounds: 1, crashes: 1 }]],
];

const packaged = existsSync(join(root, 'wasm', 'pkg', 'phaselab_bg.wasm')) ? await import('phaselab') : undefined;

main(() => {
  const env = nativeEnvironment();
  run('cargo', ['build', '--release', '-p', 'phaselab'], { env });
  if (!packaged) throw new Missing('The npm package is not built.', 'npm run build:npm');
  const binary = join(targetDirectory(env), 'release', 'phaselab');
  const ratios = [];
  for (const [name, words, given] of searches) {
    const best = { native: Infinity, wasm: Infinity };
    let states;
    for (let turn = 0; turn < turns; turn += 1) {
      const [native, nativeMs] = timed(() => inProcess(binary, words, env));
      const [wasm, wasmMs] = timed(() => inWasm(new packaged.Checker(...given)));
      if (native.distinct !== wasm.distinct || native.generated !== wasm.generated) {
        throw new Failed(name, `${native.distinct} distinct of ${native.generated} natively, ${wasm.distinct} of ${wasm.generated} in wasm`);
      }
      states = native;
      best.native = Math.min(best.native, nativeMs);
      best.wasm = Math.min(best.wasm, wasmMs);
    }
    const ratio = best.wasm / best.native;
    ratios.push(ratio);
    const rate = (ms) => `${Math.round(states.generated / ms)}k/s in ${(ms / 1000).toFixed(2)} s`;
    say(`${name}: ${states.distinct} distinct of ${states.generated} generated; native ${rate(best.native)}, wasm ${rate(best.wasm)}, ${ratio.toFixed(2)}x`);
  }
  say(`wasm takes at most ${Math.max(...ratios).toFixed(2)} times as long as native`);
});

function timed(search) {
  const started = performance.now();
  return [search(), performance.now() - started];
}

function inProcess(binary, words, env) {
  const { stdout, status } = spawnSync(binary, ['check', ...words, '--json'], {
    cwd: root,
    env: { ...env, RAYON_NUM_THREADS: '1' },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Failed(`phaselab check ${words.join(' ')}`, `exit status ${status}`);
  return JSON.parse(stdout);
}

function inWasm(checker) {
  try {
    while (!checker.advance(slice).over);
    return checker.outcome();
  } finally {
    checker.free();
  }
}
