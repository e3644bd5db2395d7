// npm run fuzz: every fuzz target of tests/fuzz for a few seconds, with the stable compiler and without sanitizers.
//   npm run fuzz -- --seconds 600 liars receive

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { main, Missing, output, run, say, start } from './lib/process.mjs';
import { ensureRust, withWasmTools } from './lib/toolchain.mjs';
import { ensureFuzzer } from './lib/tools.mjs';

const inFuzzFolder = ['--fuzz-dir', 'tests/fuzz'];
const sanitizer = ['--sanitizer', 'none'];

main(async () => {
  const { values, positionals } = parseArgs({
    options: { seconds: { type: 'string', default: '5' } },
    allowPositionals: true,
  });
  const env = withWasmTools(ensureRust());
  // The fuzzer's loop is a C++ library that is built with it.
  if (output('c++', ['--version'], { env }) === undefined) {
    throw new Missing('There is no C++ compiler, which the fuzzer needs.', 'sudo apt-get install -y g++');
  }
  ensureFuzzer(env);

  const known = output('cargo', ['fuzz', 'list', ...inFuzzFolder], { env, loud: true })?.split('\n') ?? [];
  const targets = positionals.length > 0 ? positionals : known;
  // All at once where all are wanted: cargo uses every core.
  for (const target of positionals.length > 0 ? positionals : [[]]) {
    run('cargo', ['fuzz', 'build', ...inFuzzFolder, ...sanitizer, target].flat(), { env });
  }
  const limits = [`-max_total_time=${values.seconds}`, '-rss_limit_mb=2048', '-timeout=20', '-verbosity=0'];
  const waiting = targets.values();
  const fuzz = async () => {
    for (const target of waiting) {
      say(`fuzzing ${target} for ${values.seconds} s; what it finds is written to tests/fuzz/artifacts/${target}`);
      await start('cargo', ['fuzz', 'run', target, ...inFuzzFolder, ...sanitizer, '--', ...limits], { env });
    }
  };
  // Each takes one core.
  await Promise.all(Array.from({ length: availableParallelism() }, fuzz));
});
