// npm run explore: what docs/checked.md says was checked, checked again. At most half an hour on two cores.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Failed, main, run, say } from './lib/process.mjs';
import { nativeEnvironment } from './lib/toolchain.mjs';
import { root } from './lib/workspace.mjs';

/** Each search: its name, the words of the command line, and whether it must visit everything within its bounds. */
const searches = [
  ['one round, everything late and asked twice', ['divergent-views', '--rounds', '1', '--crashes', '1', '--repeats', '1', '--late-requests', '--minutes', '3'], false],
  ['one round, beyond decisions', ['divergent-views', '--rounds', '1', '--crashes', '0', '--beyond-decisions', '--minutes', '3'], false],
  ['two rounds, one crash, two values', ['divergent-views', '--rounds', '2', '--crashes', '1'], true],
  ['two rounds, views that change', ['silent-decider', '--rounds', '2', '--crashes', '0', '--minutes', '4'], false],
  ['three rounds', ['divergent-views', '--rounds', '3', '--crashes', '0', '--minutes', '4'], false],
  ['Multi-Paxos, one ballot, one crash', ['two-commands', '--timeouts', '1', '--crashes', '1'], true],
  ['Multi-Paxos, two ballots, two commands', ['two-commands', '--timeouts', '2', '--minutes', '5'], false],
  ['Multi-Paxos alone, two ballots, two commands', ['--model', 'multi-paxos', '--size', '2'], true],
  ['Multi-Paxos alone, two ballots, one crash', ['--model', 'multi-paxos-crash', '--size', '2'], true],
  ['a transfer between two pairs', ['two-pairs'], true],
  ['a transfer between two pairs, one crash', ['two-pairs', '--crashes', '1'], true],
  ['a coin spent at two of three validators', ['two-spends', '--timeouts', '1'], true],
  ['a coin spent at two of three validators, one crash', ['two-spends', '--rounds', '2', '--timeouts', '0', '--crashes', '1', '--minutes', '4'], false],
  ['four signers, two rounds', ['divergent-views', '--nodes', '4', '--rounds', '2', '--crashes', '0', '--minutes', '4'], false],
];

main(() => {
  const env = nativeEnvironment();
  run('cargo', ['build', '--release', '-p', 'phaselab'], { env });
  const binary = join(env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release', 'phaselab');
  const wrong = [];
  for (const [name, words, whole] of searches) {
    const started = Date.now();
    const { stdout, status } = spawnSync(binary, ['check', ...words, '--json'], { cwd: root, env, encoding: 'utf8' });
    if (status !== 0 && status !== 1) throw new Failed(name, 'did not run');
    const found = JSON.parse(stdout);
    const seconds = ((Date.now() - started) / 1000).toFixed(0);
    const end = found.violation ? `BROKEN: ${found.violation.invariant}` : found.complete ? 'complete' : 'not complete';
    say(`${name}: ${found.distinct} distinct, ${found.generated} generated, depth ${found.depth}, ${end}, ${seconds} s`);
    if (found.violation || (whole && !found.complete)) wrong.push(name);
  }
  run(binary, ['museum', '--verify'], { env });
  if (wrong.length > 0) throw new Failed('searches', wrong.join('; '));
});
