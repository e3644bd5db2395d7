// The pictures of README and docs, taken from the page as it is: npm run screenshots (after npm run build:page).

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { chromium } from '@playwright/test';
import { ensureChromium } from './lib/chromium.mjs';
import { main, run } from './lib/process.mjs';
import { nativeEnvironment, targetDirectory } from './lib/toolchain.mjs';
import { root } from './lib/workspace.mjs';

const port = 4797;
const address = `http://localhost:${port}/`;

main(async () => {
  const env = nativeEnvironment();
  run('cargo', ['build', '--package', 'phaselab'], { env });
  const binary = join(targetDirectory(env), 'debug', 'phaselab');
  const server = spawn(binary, ['serve', '--port', String(port), '--dir', 'web/dist'], { cwd: root, stdio: 'ignore' });
  try {
    await reachable();
    await takeThreeSigners();
  } finally {
    server.kill();
  }
});

async function reachable() {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const answer = await fetch(address).catch(() => null);
    if (answer?.ok) return;
    await new Promise((wait) => setTimeout(wait, 100));
  }
  throw new Error(`nothing answers at ${address}`);
}

/** The default scenario, when two of three signers have locked A. */
async function takeThreeSigners() {
  const args = ['--disable-gpu', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
  const browser = await chromium.launch({ executablePath: ensureChromium(), args });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' });
  await page.goto(address);
  await page.getByTestId('play').waitFor();
  for (let step = 0; step < 16; step += 1) await page.getByTestId('step').click();
  await page.getByTestId('play').hover();
  await page.screenshot({ path: join(root, 'docs', 'three-signers.png') });
  await browser.close();
}
