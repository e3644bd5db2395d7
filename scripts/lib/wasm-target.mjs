// The target wasm32-unknown-unknown: from rustup, else from Debian's sources.

import { debianEnvironment, installDebianTarget } from './debian-wasm.mjs';
import { Failed, Missing, run, say } from './process.mjs';
import { hasStandardLibrary, nativeEnvironment, rustupLimitMs, withWasmTools } from './toolchain.mjs';

const target = 'wasm32-unknown-unknown';

/** The environment of builds for the page, or undefined as long as no toolchain has the target. */
export function wasmEnvironment() {
  const native = nativeEnvironment();
  if (hasStandardLibrary(target, native)) return withWasmTools(native);
  const debian = debianEnvironment(native);
  return debian && withWasmTools(debian);
}

/** As `wasmEnvironment`, installing the target when it is absent. */
export function ensureWasmTarget() {
  return wasmEnvironment() ?? installTarget();
}

/** The environment of builds for the page; tells a person what to run when there is none. */
export function requireWasmEnvironment() {
  const env = wasmEnvironment();
  if (!env) throw new Missing(`The target ${target} is not installed.`, 'npm run tools');
  return env;
}

function installTarget() {
  const native = nativeEnvironment();
  try {
    say(`adding the target ${target} with rustup`);
    run('rustup', ['target', 'add', target], { env: native, timeoutMs: rustupLimitMs });
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    say(error.message);
    installDebianTarget(native);
  }
  return requireWasmEnvironment();
}
