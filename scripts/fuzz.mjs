// npm run fuzz: every fuzz target of tests/fuzz for a few seconds, with the stable compiler and without sanitizers.
//   npm run fuzz -- --seconds 600 liars receive

import { parseArgs } from 'node:util';
import { main, Missing, output, run, say } from './lib/process.mjs';
import { ensureRust, withWasmTools } from './lib/toolchain.mjs';
import { ensureFuzzer } from './lib/tools.mjs';

const inFuzzFolder = ['--fuzz-dir', 'tests/fuzz'];

main(() => {
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
  for (const target of positionals.length > 0 ? positionals : known) {
    say(`fuzzing ${target} for ${values.seconds} s; what it finds is written to tests/fuzz/artifacts/${target}`);
    const limits = [`-max_total_time=${values.seconds}`, '-rss_limit_mb=2048', '-timeout=20', '-verbosity=0'];
    run('cargo', ['fuzz', 'run', target, ...inFuzzFolder, '--sanitizer', 'none', '--', ...limits], { env });
  }
});
