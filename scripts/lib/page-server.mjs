// The page for scripts: `phaselab serve` on a port of its own, and the machine's Chromium.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { chromium } from '@playwright/test';
import { ensureChromium } from './chromium.mjs';
import { run } from './process.mjs';
import { nativeEnvironment, targetDirectory } from './toolchain.mjs';
import { root } from './workspace.mjs';

const port = 4797;

/**
 * Serves web/dist while `body(address, browser, binary)` runs; both end with it. `binary` is the one that serves: what
 * PHASELAB names, else the one of a release.
 */
export async function withPage(body) {
  const binary = process.env.PHASELAB ?? built();
  const server = spawn(binary, ['serve', '--port', String(port), '--dir', 'web/dist'], { cwd: root, stdio: 'ignore' });
  const args = ['--disable-gpu', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
  const browser = await chromium.launch({ executablePath: ensureChromium(), args });
  try {
    const address = `http://localhost:${port}/`;
    await reachable(address);
    await body(address, browser, binary);
  } finally {
    await browser.close();
    server.kill();
  }
}

function built() {
  const env = nativeEnvironment();
  run('cargo', ['build', '--release', '--package', 'phaselab'], { env });
  return join(targetDirectory(env), 'release', 'phaselab');
}

async function reachable(address) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const answer = await fetch(address).catch(() => null);
    if (answer?.ok) return;
    await new Promise((wait) => setTimeout(wait, 100));
  }
  throw new Error(`nothing answers at ${address}`);
}
