// The page in a real browser: runs Playwright on tests/browser. With options after `--`, which go to Playwright, what they
// choose; otherwise everything.

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ensureChromium } from './lib/chromium.mjs';
import { main, run } from './lib/process.mjs';
import { runStages } from './lib/stages.mjs';
import { buildOptions, nativeEnvironment, targetDirectory } from './lib/toolchain.mjs';
import { root } from './lib/workspace.mjs';

main(() => {
  const native = nativeEnvironment();
  const env = {
    ...native,
    CHROMIUM: ensureChromium(),
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD: '1',
    // The binary of the other tests. Cargo links it again when the page that it embeds has changed.
    PHASELAB: join(targetDirectory(native), 'debug', 'phaselab'),
  };
  run('cargo', ['build', ...buildOptions, '--workspace', '--bins'], { env: native });
  const playwright = (...options) => () =>
    run(join(root, 'node_modules', '.bin', 'playwright'), ['test', '--config', join('tests', 'browser'), ...options], { env });
  const chosen = process.argv.slice(2);
  if (chosen.length > 0) return playwright(...chosen)();
  return runStages([
    { title: 'pages', body: playwright('--project', 'pages', '--workers', String(availableParallelism())) },
    { title: 'rooms', body: playwright('--project', 'rooms') },
  ]);
});
