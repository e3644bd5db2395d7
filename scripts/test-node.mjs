// The npm package in Node.js: runs tests/node/*.test.mjs, which import it by its name.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Failed, main, run } from './lib/process.mjs';
import { buildOptions, nativeEnvironment, targetDirectory } from './lib/toolchain.mjs';
import { root } from './lib/workspace.mjs';

main(() => {
  const folder = join('tests', 'node');
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith('.test.mjs'));
  // Without arguments Node.js would search the whole repository, and pass when it finds nothing.
  if (files.length === 0) throw new Failed('tests in Node.js', `${folder} has none`);
  const native = nativeEnvironment();
  // The binary of the other tests, whose reports are the reference.
  run('cargo', ['build', ...buildOptions, '--workspace', '--bins'], { env: native });
  const env = { ...native, PHASELAB: join(targetDirectory(native), 'debug', 'phaselab') };
  run(process.execPath, ['--test', ...files.map((name) => join(folder, name))], { env });
});
