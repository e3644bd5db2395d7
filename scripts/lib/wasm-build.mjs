// From a crate to optimised WebAssembly: wasm-pack, then npm's wasm-opt.

import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run, say, start } from './process.mjs';
import { buildCache, root } from './workspace.mjs';

// The second round finds what the first has laid open: less than a percent of the bytes, more of the compressed ones.
const optimise = ['-Oz', '--converge', '-Oz'];

/**
 * Builds the crate in `folder` into `outDir` as `name.js` and `name_bg.wasm`; with `features`, with these alone.
 * Cargo decides what must be compiled again: it knows every input, also files that the sources include.
 * Compiled when it returns; optimised when its promise is fulfilled, so that the next crate can be compiled meanwhile.
 */
export function buildWasm({ folder, name, outDir, features, dev, pack, env }) {
  // Wasm files of an earlier build under another name would be taken for part of this one.
  rmSync(outDir, { recursive: true, force: true });
  const profile = dev ? ['--dev'] : ['--profile', 'wasm'];
  const skip = pack ? [] : ['--no-pack', '--no-typescript'];
  // wasm-pack takes options of wasm-opt only from each crate's manifest, and skips it silently when it is not found.
  const args = ['build', folder, '--target', 'web', ...profile, '--mode', 'no-install', '--no-opt', '--no-gitignore', ...skip];
  const chosen = features ? ['--', '--no-default-features', '--features', features.join(',')] : [];
  run('wasm-pack', ['--log-level', 'warn', ...args, '--out-dir', outDir, '--out-name', name, ...chosen], { env });
  return dev ? Promise.resolve() : optimiseOnce(join(outDir, `${name}_bg.wasm`), name, env);
}

/** Runs wasm-opt on `file` in place, unless the same input was optimised before. */
async function optimiseOnce(file, name, env) {
  const key = createHash('sha256').update(optimise.join(' ')).update(optimiserVersion()).update(readFileSync(file)).digest('hex');
  const folder = join(buildCache, name);
  const kept = join(folder, `${key}.wasm`);
  if (!existsSync(kept)) {
    say(`optimising ${name}_bg.wasm`);
    mkdirSync(folder, { recursive: true });
    const fresh = join(folder, 'fresh.wasm');
    await start('wasm-opt', [...optimise, file, '-o', fresh], { env });
    // Only the newest build is worth its disk space.
    for (const old of readdirSync(folder)) if (/^[0-9a-f]{64}\.wasm$/.test(old)) rmSync(join(folder, old));
    renameSync(fresh, kept);
  }
  copyFileSync(kept, file);
}

function optimiserVersion() {
  return readFileSync(join(root, 'node_modules', 'binaryen', 'package.json'), 'utf8');
}
