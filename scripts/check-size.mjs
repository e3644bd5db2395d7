// The wasm that the first visit to the page loads stays within its budget, compressed as a server sends it.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Failed, main } from './lib/process.mjs';
import { pageFolder } from './lib/workspace.mjs';

const budgetBytes = 350_000;

main(() => {
  let total = 0;
  for (const name of readdirSync(pageFolder).filter((name) => name.endsWith('.wasm'))) {
    const content = readFileSync(join(pageFolder, name));
    const compressed = gzipSync(content, { level: 9 }).length;
    console.log(`${name}: ${kilobytes(content.length)}, ${kilobytes(compressed)} compressed`);
    total += compressed;
  }
  if (total === 0) throw new Failed('size of the page', 'web/dist has no wasm');
  console.log(`total: ${kilobytes(total)} of ${kilobytes(budgetBytes)} compressed`);
  if (total > budgetBytes) throw new Failed('size of the page', 'over its budget');
});

function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(1)} KB`;
}
