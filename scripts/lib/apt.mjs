// Packages of Debian and Ubuntu.

import { Failed, output, run, say } from './process.mjs';

/** True for root on a machine with apt. */
export function canUseApt() {
  return process.getuid?.() === 0 && output('apt-get', ['--version']) !== undefined;
}

/** Installs those of the packages that are missing. */
export function installPackages(names) {
  const missing = names.filter((name) => output('dpkg-query', ['-W', '-f=${db:Status-Status}', name]) !== 'installed');
  if (missing.length === 0) return;
  say(`installing ${missing.join(' ')} with apt`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const lock = ['-o', 'DPkg::Lock::Timeout=300'];
  try {
    run('apt-get', [...lock, '-q', 'update'], { env, quiet: true });
  } catch (error) {
    // One foreign source that does not answer makes the whole update fail, although Debian's own lists came.
    if (!(error instanceof Failed)) throw error;
    say(error.message);
  }
  run('apt-get', [...lock, '-q', 'install', '-y', '--no-install-recommends', ...missing], { env, quiet: true });
}
