// npm start: from a fresh clone to the page in a browser. Options after `--` go to `phaselab serve`.

import { spawn } from 'node:child_process';
import { main, runScript, say } from './lib/process.mjs';
import { nativeEnvironment } from './lib/toolchain.mjs';
import { root } from './lib/workspace.mjs';

main(() => {
  runScript('ensure-tools');
  runScript('build-page');
  say('building and starting the server (about 5 minutes the first time)');
  serve(process.argv.slice(2));
});

function serve(given) {
  const defaults = Object.entries({ '--port': '4700', '--dir': 'web/dist' }).filter(([name]) => !given.includes(name));
  const args = ['run', '--release', '-p', 'phaselab', '--', 'serve', ...defaults.flat(), ...given];
  const server = spawn('cargo', args, { cwd: root, env: nativeEnvironment(), stdio: 'inherit' });
  // A signal sent to this process alone must not leave the server behind. Ctrl-C reaches the server by itself too, and
  // a second signal could cut its clean end short.
  process.on('SIGTERM', () => server.kill('SIGTERM'));
  process.on('SIGINT', () => setTimeout(() => server.kill('SIGTERM'), 1000).unref());
  server.on('exit', (status) => {
    process.exitCode = status ?? 0;
  });
}
