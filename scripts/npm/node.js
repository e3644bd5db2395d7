// The entry for Node.js: reads the wasm from disk and starts it, so that every export works at once.
// The default export is the browser's asynchronous start; code written for browsers may await it here too.

import { readFileSync } from 'node:fs';
import { initSync } from './phaselab.js';

initSync({ module: readFileSync(new URL('./phaselab_bg.wasm', import.meta.url)) });

export * from './phaselab.js';
export { default } from './phaselab.js';
