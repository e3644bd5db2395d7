// Builds the page into web/dist: the wasm of web/, its JavaScript, and the files that are served as they are.
// With --dev: quick to build, not optimised.

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { main, say } from './lib/process.mjs';
import { targetDirectory } from './lib/toolchain.mjs';
import { buildWasm } from './lib/wasm-build.mjs';
import { requireWasmEnvironment } from './lib/wasm-target.mjs';
import { pageFolder, root } from './lib/workspace.mjs';

/** The sheets of web/styles, in the order in which they are read: later ones change earlier ones. */
const sheets = [
  ...['base', 'top', 'left', 'values', 'cluster', 'lanes', 'crowds', 'space-time', 'help', 'inspector', 'transport'],
  ...['live', 'museum', 'checker', 'by-hand', 'narrow', 'colours'],
];

main(async () => {
  const env = requireWasmEnvironment();
  const assembled = join(targetDirectory(env), 'page');
  say('building the page (about 2 minutes the first time)');
  const dev = process.argv.includes('--dev');
  // Four programs of one crate: a visit loads the one that its address asks for. The first one's folder is emptied, and
  // the others are put into it. Of these the largest come first: what is compiled last is optimised beside nothing else.
  const program = (name, feature, outDir) =>
    buildWasm({ folder: 'web', name, outDir, features: [feature], dev, pack: false, env });
  await Promise.all([
    program('phaselab_web', 'simulate', assembled),
    buildChecker(assembled, env),
    program('phaselab_workbench', 'workbench', join(assembled, 'workbench')),
    program('phaselab_museum', 'museum', join(assembled, 'museum')),
    program('phaselab_live', 'live', join(assembled, 'live')),
  ]);
  for (const name of ['index.html', 'worker.js', 'checker.js']) cpSync(join(root, 'web', name), join(assembled, name));
  cpSync(join(root, 'web', 'static'), join(assembled, 'static'), { recursive: true });
  writeFileSync(join(assembled, 'static', 'page.css'), stylesheet());
  mirror(assembled, pageFolder);
  say('the page is in web/dist');
});

/** One file of all sheets. */
function stylesheet() {
  const folder = join(root, 'web', 'styles');
  const unread = filesIn(folder).filter((name) => !sheets.includes(name.replace(/\.css$/, '')));
  if (unread.length > 0) throw new Error(`web/styles: not in the list of sheets of scripts/build-page.mjs: ${unread.join(', ')}`);
  return sheets.map((name) => readFileSync(join(folder, `${name}.css`), 'utf8')).join('\n');
}

/** The checker and the museum are the npm package, in a folder of their own: the first visit does not load them. */
async function buildChecker(assembled, env) {
  const built = join(targetDirectory(env), 'checker');
  await buildWasm({ folder: 'wasm', name: 'phaselab', outDir: built, dev: process.argv.includes('--dev'), pack: false, env });
  for (const name of ['phaselab.js', 'phaselab_bg.wasm']) cpSync(join(built, name), join(assembled, 'checker', name));
}

/**
 * Makes `to` a copy of `from`, writing only files whose content differs.
 * The native binary embeds the page: files with a new date alone would make cargo link it again.
 */
function mirror(from, to) {
  const wanted = filesIn(from);
  for (const name of wanted) {
    const content = readFileSync(join(from, name));
    const file = join(to, name);
    if (existsSync(file) && readFileSync(file).equals(content)) continue;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  for (const name of filesIn(to)) if (!wanted.includes(name)) rmSync(join(to, name));
}

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}
