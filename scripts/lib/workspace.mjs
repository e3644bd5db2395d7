// Where things are: the repository and the caches.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** What costs minutes to make and belongs to no checkout. It outlives `cargo clean` and fresh clones. */
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'phaselab');

/** Tools that cargo built, in `bin`. */
export const toolRoot = join(cache, 'tools');

/** What one checkout remembers between builds. */
export const buildCache = join(root, 'node_modules', '.cache', 'phaselab');

/** The folder that `npm start` serves and the browser tests visit. */
export const pageFolder = join(root, 'web', 'dist');

/** The value of one `key = "value"` line of the workspace manifest, without a leading `=`. */
export function manifestValue(key) {
  const manifest = readFileSync(join(root, 'Cargo.toml'), 'utf8');
  const line = manifest.match(new RegExp(`^${key} = "=?([^"]+)"`, 'm'));
  if (!line) throw new Error(`Cargo.toml names no ${key}`);
  return line[1];
}
