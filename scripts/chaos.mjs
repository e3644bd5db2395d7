// npm run chaos -- --kills 300 | --minutes 10 | --seconds 30: a cluster of real processes under random faults, judged from
// outside. Prints the seed, what was done, what was decided, and every violation; exits 1 if there is one. What follows
// -- goes to `phaselab chaos`, whose --help has the rest: with --protocol sharded-2pc --minutes 5 nine processes keep the
// books of a bank.

import { join } from 'node:path';
import { main, run } from './lib/process.mjs';
import { nativeEnvironment } from './lib/toolchain.mjs';
import { root } from './lib/workspace.mjs';

main(() => {
  const env = nativeEnvironment();
  // Debug builds check after every step that the store gives the state back, which no load leaves time for.
  run('cargo', ['build', '--release', '-p', 'phaselab'], { env });
  const binary = join(env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release', 'phaselab');
  run(binary, ['chaos', ...process.argv.slice(2)], { env });
});
