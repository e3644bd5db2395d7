// Builds the npm package `phaselab` into wasm/pkg: one wasm for browsers and Node.js.
// It is linked into node_modules, so that tests import it by its name. With --dev: quick to build, not optimised.

import { cpSync, lstatSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { main, say } from './lib/process.mjs';
import { buildWasm } from './lib/wasm-build.mjs';
import { requireWasmEnvironment } from './lib/wasm-target.mjs';
import { root } from './lib/workspace.mjs';

const folder = join(root, 'wasm', 'pkg');

main(async () => {
  say('building the npm package (about 2 minutes the first time)');
  const dev = process.argv.includes('--dev');
  await buildWasm({ folder: 'wasm', name: 'phaselab', outDir: folder, dev, pack: true, env: requireWasmEnvironment() });
  cpSync(join(root, 'scripts', 'npm', 'node.js'), join(folder, 'node.js'));
  for (const name of ['LICENSE', 'LICENSE-MIT', 'LICENSE-APACHE']) cpSync(join(root, name), join(folder, name));
  describe();
  linkIntoModules();
  say('the npm package is in wasm/pkg');
});

/** wasm-pack describes a package for bundlers that is named like the crate. */
function describe() {
  const file = join(folder, 'package.json');
  const { name, main: _main, module: _module, types, files, ...rest } = JSON.parse(readFileSync(file, 'utf8'));
  const description = {
    name: 'phaselab',
    ...rest,
    types: './phaselab.d.ts',
    exports: {
      '.': { types: './phaselab.d.ts', node: './node.js', default: './phaselab.js' },
      './phaselab_bg.wasm': './phaselab_bg.wasm',
      './package.json': './package.json',
    },
    files: ['node.js', 'phaselab.js', 'phaselab.d.ts', 'phaselab_bg.wasm', 'phaselab_bg.wasm.d.ts', 'LICENSE*'],
    // node.js starts the wasm when it is imported.
    sideEffects: ['./node.js'],
  };
  writeFileSync(file, `${JSON.stringify(description, null, 2)}\n`);
}

function linkIntoModules() {
  const link = join(root, 'node_modules', 'phaselab');
  if (lstatSync(link, { throwIfNoEntry: false })) rmSync(link, { recursive: true });
  symlinkSync(folder, link, 'dir');
}
