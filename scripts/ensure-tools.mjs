// Installs whatever the builds need and the machine lacks. With everything there it takes under a second.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { main, run, say } from './lib/process.mjs';
import { ensureTools } from './lib/tools.mjs';
import { ensureRust } from './lib/toolchain.mjs';
import { ensureWasmTarget } from './lib/wasm-target.mjs';
import { root } from './lib/workspace.mjs';

main(() => {
  const env = ensureRust();
  ensurePackages();
  ensureWasmTarget();
  ensureTools(env);
});

function ensurePackages() {
  // npm writes its own lock file into node_modules at the end of an installation.
  const installed = changed(join('node_modules', '.package-lock.json'));
  if (installed >= changed('package-lock.json')) return;
  say('installing the npm packages');
  run('npm', ['ci']);
}

/** When the file last changed, or 0 when there is none. */
function changed(name) {
  return statSync(join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
