// The command line, for comparing: what it prints is the reference.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs `phaselab ...` for what it writes. */
export function write(...args) {
  const [command, ...before] = process.env.PHASELAB ? [process.env.PHASELAB] : ['cargo', 'run', '--quiet', '-p', 'phaselab', '--'];
  execFileSync(command, [...before, ...args], { cwd: root, stdio: 'inherit' });
}

/** What `phaselab ...` prints with `--json`, whatever its exit status. */
export function phaselab(...args) {
  const [command, ...before] = process.env.PHASELAB ? [process.env.PHASELAB] : ['cargo', 'run', '--quiet', '-p', 'phaselab', '--'];
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'inherit'] };
  try {
    return JSON.parse(execFileSync(command, [...before, ...args, '--json'], options));
  } catch (error) {
    // Exit status 1 means that an expectation failed; the report is there all the same.
    if (error.status === 1 && error.stdout) return JSON.parse(error.stdout);
    throw error;
  }
}
