// The tools that cargo builds once and that every checkout shares.

import { join } from 'node:path';
import { Failed, output, run, say } from './process.mjs';
import { manifestValue, toolRoot } from './workspace.mjs';

const tools = [
  // The command line tool and the crate write and read one format, which changes with every version.
  { crate: 'wasm-bindgen-cli', binary: 'wasm-bindgen', version: () => manifestValue('wasm-bindgen'), minutes: 5 },
  { crate: 'wasm-pack', binary: 'wasm-pack', version: () => '0.15.1', minutes: 4 },
];

// Only fuzzing needs it.
const fuzzer = { crate: 'cargo-fuzz', binary: 'cargo-fuzz', version: () => '0.13.2', minutes: 2 };

/** Builds those of the tools that are missing or of another version. */
export function ensureTools(env) {
  for (const tool of tools) ensure(tool, env);
}

/** Builds the fuzzer if it is missing or of another version. */
export function ensureFuzzer(env) {
  ensure(fuzzer, env);
}

function ensure({ crate, binary, version, minutes }, env) {
  const wanted = version();
  if (installedVersion(binary) === wanted) return;
  say(`building ${crate} ${wanted}, about ${minutes} minutes, once`);
  install(crate, wanted, env);
}

function installedVersion(binary) {
  return output(join(toolRoot, 'bin', binary), ['--version'])?.split(' ')[1];
}

function install(crate, version, env) {
  // A shared target folder would keep what only this build needs.
  const { CARGO_TARGET_DIR, ...own } = env;
  const args = ['install', crate, '--version', version, '--root', toolRoot, '--force', '--quiet'];
  try {
    run('cargo', [...args, '--locked'], { env: own });
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    say(`${crate}'s own lock file cannot be used here: building with the newest matching dependencies`);
    run('cargo', args, { env: own });
  }
}
