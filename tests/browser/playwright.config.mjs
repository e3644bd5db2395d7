// How the browser tests run: the machine's own Chromium, and the page as `phaselab serve` serves it.
// `npm run test:browser` builds what is missing; then a test can be run alone: npm run test:browser -- -g 'its title'.

import { fileURLToPath } from 'node:url';
import { defineConfig } from '@playwright/test';
import { findChromium } from '../../scripts/lib/chromium.mjs';

const port = 4799;
const server = process.env.PHASELAB ?? 'cargo run --release -p phaselab --';

/** The tests whose nodes are live, by file and title: one at a time. */
const live = /\b(hybrid|live[a-z-]*)\.spec\.mjs|\ba live room\b/;

export default defineConfig({
  testDir: '.',
  outputDir: '../artifacts',
  reporter: 'list',
  timeout: 60_000,
  workers: 1,
  projects: [
    // Time is virtual there: `test-browser.mjs` gives them every core.
    { name: 'pages', grepInvert: live, fullyParallel: true },
    // Each page runs several threads, and a missed deadline of a live node would be the fault of a busy machine.
    { name: 'rooms', grep: live },
  ],
  forbidOnly: Boolean(process.env.CI),
  use: {
    baseURL: `http://localhost:${port}`,
    viewport: { width: 1280, height: 800 },
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: findChromium(),
      // Chromium refuses its sandbox to root; the others keep it from talking to the network by itself.
      args: [
        ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
  webServer: {
    command: `${server} serve --port ${port} --dir web/dist`,
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    url: `http://localhost:${port}/`,
    // A server that someone left running may serve another page.
    reuseExistingServer: false,
    timeout: 300_000,
  },
});
