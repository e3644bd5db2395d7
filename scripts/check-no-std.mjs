// Proves that core needs no standard library: builds it for a processor that has none. wasm32 has one, and proves nothing.

import { join } from 'node:path';
import { buildStdEnvironment, ensureDebianSources, isDebianEnvironment } from './lib/debian-wasm.mjs';
import { Failed, main, run, say } from './lib/process.mjs';
import { ensureRust, hasStandardLibrary, rustupLimitMs, targetDirectory } from './lib/toolchain.mjs';
import { wasmEnvironment } from './lib/wasm-target.mjs';

const target = 'thumbv7em-none-eabi';
const build = ['build', '-p', 'phaselab-core', '--target', target];

main(() => {
  const native = ensureRust();
  if (addTarget(native)) {
    run('cargo', build, { env: native });
    return;
  }
  ensureDebianSources();
  say(`building core and alloc for ${target} from Debian's sources`);
  const env = buildStdEnvironment(native, join(targetDirectory(native), 'no-std'));
  run('/usr/bin/cargo', [...build, '-Zbuild-std=core,alloc'], { env });
});

/** True when the ordinary toolchain has the target, be it just now from rustup. */
function addTarget(native) {
  if (hasStandardLibrary(target, native)) return true;
  // Where wasm32 had to come from Debian, rustup fetches nothing, and may take minutes to say so.
  if (isDebianEnvironment(wasmEnvironment())) return false;
  try {
    run('rustup', ['target', 'add', target], { env: native, timeoutMs: rustupLimitMs });
    return true;
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    say(error.message);
    return false;
  }
}
