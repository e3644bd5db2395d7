// A live node in a thread: answers what the test asks.

import { parentPort, workerData } from 'node:worker_threads';
import { LiveNode } from 'phaselab';

const node = new LiveNode(workerData);

parentPort.on('message', async ({ id, kind, toml }) => {
  try {
    const answers = {
      ready: () => node.id,
      submit: () => node.submit(toml),
      view: () => node.view(),
      refused: () => node.refused,
    };
    parentPort.postMessage({ id, answer: await answers[kind]() });
  } catch (error) {
    parentPort.postMessage({ id, error: error.message });
  }
});
