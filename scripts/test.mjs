// npm test: everything that CI runs, from nothing. Each stage is also a command of its own (see package.json).

import { availableParallelism } from 'node:os';
import { run, runScript } from './lib/process.mjs';
import { runStages } from './lib/stages.mjs';
import { buildOptions, nativeEnvironment, wholeTest } from './lib/toolchain.mjs';

process.env[wholeTest] = '1';

const script = (name) => () => runScript(name);
const cargo = (command, ...args) => () => run('cargo', [command, ...buildOptions, ...args], { env: nativeEnvironment() });

function checkLockFile() {
  run('cargo', ['metadata', '--locked', '--format-version', '1'], { env: nativeEnvironment(), quiet: true });
}

/** Tests of processes wait more than they compute: two threads a core. */
function rustTests() {
  const env = { ...nativeEnvironment(), RUST_TEST_THREADS: String(2 * availableParallelism()) };
  run('cargo', ['test', ...buildOptions, '--workspace'], { env });
}

runStages([
  { title: 'tools', body: script('ensure-tools'), essential: true },
  { title: 'Cargo.lock is up to date', body: checkLockFile },
  { title: 'format and lints', body: script('check') },
  { title: 'core without std', body: script('check-no-std') },
  { title: 'page', body: script('build-page') },
  { title: 'size of the page', body: script('check-size') },
  // Before the tests, because tests of whole processes start the binary and do not build it.
  { title: 'binaries', body: cargo('build', '--workspace', '--bins') },
  { title: 'all Rust tests', body: rustTests },
  { title: 'fuzzing, briefly', body: script('fuzz') },
  { title: 'npm package', body: script('build-npm') },
  { title: 'npm package in Node.js', body: script('test-node') },
  { title: 'page in the browser', body: script('test-browser') },
]);
