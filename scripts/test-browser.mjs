// The page in a real browser: runs Playwright on tests/browser. Options after `--` go to Playwright.

import { join } from 'node:path';
import { ensureChromium } from './lib/chromium.mjs';
import { main, run } from './lib/process.mjs';
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
  const playwright = join(root, 'node_modules', '.bin', 'playwright');
  run(playwright, ['test', '--config', join('tests', 'browser'), ...process.argv.slice(2)], { env });
});
