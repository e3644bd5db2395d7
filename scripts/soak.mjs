// npm run soak: a day of virtual time in the simulator, with clients that never stop asking and faults every minute.
// Prints what nodes keep, hour by hour; exits 1 if an invariant broke or something grows that must not. What follows --
// goes to `phaselab soak`, whose --help has the rest.

import { join } from 'node:path';
import { main, run } from './lib/process.mjs';
import { nativeEnvironment } from './lib/toolchain.mjs';
import { root } from './lib/workspace.mjs';

main(() => {
  const env = nativeEnvironment();
  run('cargo', ['build', '--release', '-p', 'phaselab'], { env });
  const binary = join(env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release', 'phaselab');
  run(binary, ['soak', ...process.argv.slice(2)], { env });
});
