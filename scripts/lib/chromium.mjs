// The browser of the browser tests: the machine's own Chromium, since nothing is downloaded for them.

import { existsSync } from 'node:fs';
import { canUseApt, installPackages } from './apt.mjs';
import { Missing } from './process.mjs';

const usual = [
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** The path of Chromium: `CHROMIUM` if that is set, else one of the usual places, else undefined. */
export function findChromium() {
  return process.env.CHROMIUM || usual.find((path) => existsSync(path));
}

/** As `findChromium`, installing it when it is absent. */
export function ensureChromium() {
  if (!findChromium() && canUseApt()) installPackages(['chromium']);
  const path = findChromium();
  if (!path) throw new Missing('The browser tests need Chromium.', 'CHROMIUM=/path/to/chromium npm test');
  return path;
}
