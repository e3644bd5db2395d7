// One node, or the chain, of a live room. The page sends its compiled program along with the order.
import { initSync, worker_main } from './live/phaselab_live.js';

self.onmessage = ({ data }) => {
  initSync({ module: data.module });
  worker_main(data);
};
