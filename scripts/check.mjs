// npm run check: format, lints and the fast tests, for every commit.

import { main, run } from './lib/process.mjs';
import { runStages } from './lib/stages.mjs';
import { buildOptions, ensureLints, ensureRust, wholeTest } from './lib/toolchain.mjs';
import { requireWasmEnvironment } from './lib/wasm-target.mjs';

const strictly = ['--', '-D', 'warnings'];
const onWasm = ['--target', 'wasm32-unknown-unknown'];

main(() => {
  const env = ensureRust();
  ensureLints(env);
  const wasm = requireWasmEnvironment();

  const cargo = (title, args, environment = env) => ({ title, body: () => run('cargo', args, { env: environment }) });
  runStages([
    cargo('format', ['fmt', '--all', '--check']),
    cargo('lints', ['clippy', '--workspace', '--all-targets', ...strictly]),
    // What only wasm32 compiles is invisible to the native lints. One crate at a time, as they are built: together they
    // would share their features.
    cargo('lints of wasm/ on wasm32', ['clippy', '-p', 'phaselab-wasm', ...onWasm, ...strictly], wasm),
    cargo('lints of web/ on wasm32', ['clippy', '-p', 'phaselab-web', ...onWasm, ...strictly], wasm),
    // Always the whole workspace: another selection of packages has other features and compiles iroh again.
    // `npm test` runs them with all the others.
    ...(process.env[wholeTest] ? [] : [cargo('fast tests', ['test', ...buildOptions, '--workspace', '--lib', '--bins'])]),
  ]);
});
