// Live nodes of the npm package: each in a thread of its own, over BroadcastChannel.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { LiveChain, LiveNode, createRoom } from 'phaselab';

const script = new URL('./live-worker.mjs', import.meta.url);
let rooms = 0;

/** A room of threads, one per node, and the chain in this thread. */
async function openRoom(t, { nodes = 3, protocol = 'two-phase' } = {}) {
  const room = createRoom({ protocol, nodes });
  const name = `test-${process.pid}-${(rooms += 1)}`;
  const shared = { room: name, genesis: room.genesis, createdMs: room.createdMs };
  const chain = new LiveChain(shared);
  const threads = room.secrets.map((secret, index) => new Worker(script, { workerData: { ...shared, node: index + 1, secret } }));
  t.after(async () => {
    chain.close();
    await Promise.all(threads.map((thread) => thread.terminate()));
  });
  await Promise.all(threads.map((thread) => ask(thread, { kind: 'ready' })));
  return { name, room, shared, threads };
}

let asked = 0;

/** Asks a thread and resolves with its answer. */
function ask(thread, question) {
  const id = (asked += 1);
  return new Promise((resolve, reject) => {
    const hear = (message) => {
      if (message.id !== id) return;
      thread.off('message', hear);
      if (message.error) reject(new Error(message.error));
      else resolve(message.answer);
    };
    thread.on('message', hear);
    thread.once('error', reject);
    thread.postMessage({ ...question, id });
  });
}

async function until(what, condition, limitMs = 10_000) {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

const views = (threads) => Promise.all(threads.map((thread) => ask(thread, { kind: 'view' })));
const phases = async (threads) => (await views(threads)).map(({ instances }) => instances[0]?.phase);

test('nodes in threads decide over BroadcastChannel', async (t) => {
  const { threads } = await openRoom(t);
  const reply = await ask(threads[0], { kind: 'submit', toml: 'event = "rent"\namount = 25' });
  assert.equal(reply.outcome, 'decided');
  assert.ok(reply.certificate >= 2);
  await until('every node completes', async () => (await phases(threads)).every((phase) => phase === 3));
  for (const { instances } of await views(threads)) {
    assert.equal(instances[0].name, 'rent');
    assert.equal(instances[0].value, reply.value);
    assert.equal(instances[0].signed, reply.value);
  }
});

test('junk on the channel is refused and changes nothing', async (t) => {
  const { name, threads } = await openRoom(t);
  const reply = await ask(threads[1], { kind: 'submit', toml: 'event = "rent"\namount = 25' });
  const before = await Promise.all(threads.map((thread) => ask(thread, { kind: 'refused' })));
  const channel = new BroadcastChannel(`phaselab/${name}`);
  const packet = await new Promise((resolve) => {
    channel.onmessage = ({ data }) => data.to.length === 0 && resolve(data);
    ask(threads[0], { kind: 'submit', toml: 'event = "fuel"\namount = 3' });
  });
  const forged = Uint8Array.from(packet.bytes);
  forged[forged.length - 1] ^= 1;
  for (const junk of [new Uint8Array([1, 2, 3]), 'junk', null, { to: [] }, { to: [], bytes: new Uint8Array(300_000) }, packet, { to: [], bytes: forged }]) {
    channel.postMessage(junk);
  }
  await until('refusals are counted', async () => {
    const after = await Promise.all(threads.map((thread) => ask(thread, { kind: 'refused' })));
    return after.every((count, index) => count >= before[index] + 7);
  });
  channel.close();
  for (const { instances } of await views(threads)) {
    const rent = instances.find((instance) => instance.name === 'rent');
    assert.equal(rent.value, reply.value);
  }
});

test('a node that starts again from its rows keeps its promises', async (t) => {
  const { shared, room, threads } = await openRoom(t);
  const rows = new Map();
  const written = [];
  let life = 0;
  const commit = async (writes, incarnation) => {
    if (incarnation < life) throw new Error('a later life has written');
    life = incarnation;
    for (const { table, key, value } of writes) {
      written.push([table, Buffer.from(key).toString('hex')]);
      const id = `${table}/${Buffer.from(key).toString('hex')}`;
      if (value === null) rows.delete(id);
      else rows.set(id, [table, key, value]);
    }
  };
  await threads[2].terminate();
  const start = () => new LiveNode({ ...shared, node: 3, secret: room.secrets[2], rows: rows.values(), commit });
  const first = start();
  const reply = await first.submit('event = "rent"\namount = 25');
  assert.equal(reply.outcome, 'decided');
  first.close();
  assert.equal(first.closed, true);
  assert.throws(() => first.submit('event = "late"\namount = 1'), /closed/);
  const second = start();
  await until('it finds its decision', () => second.view().instances.some(({ value }) => value === reply.value));
  assert.equal(second.view().instances[0].signed, reply.value);
  assert.ok(written.length > 0 && life === 2);
  second.close();
});

test('a node whose store fails stops and says so', async (t) => {
  const { shared, room, threads } = await openRoom(t);
  await threads[2].terminate();
  const why = await new Promise((resolve) => {
    const commit = async () => {
      throw new Error('the disk is full');
    };
    new LiveNode({ ...shared, node: 3, secret: room.secrets[2], commit, onStop: resolve });
  });
  assert.match(why, /the disk is full/);
});

test('what cannot be a node is refused in words', () => {
  const { genesis, secrets } = createRoom({ protocol: 'two-phase', nodes: 3 });
  const good = { room: 'refused', genesis, node: 1, secret: secrets[0] };
  const throws = (options, message) => assert.throws(() => new LiveNode({ ...good, ...options }), message);
  throws({ genesis: new Uint8Array([1]) }, /not a genesis/);
  throws({ node: 4 }, /expected 1 to 3/);
  throws({ secret: secrets[1] }, /the key is not the one/);
  throws({ secret: new Uint8Array(3) }, /expected 32 bytes/);
  throws({ room: 7 }, /room: expected a string/);
  throws({ rows: [[1]] }, /rows: expected/);
  throws({ commit: 'x' }, /commit: expected a function/);
  assert.throws(() => createRoom({ protocol: 'two-phase', nodes: 0 }), /expected 1 to 16/);
  assert.throws(() => createRoom({ protocol: 'three-phase', nodes: 3 }), /two-phase/);
  assert.throws(() => createRoom({ protocol: 'two-phase', nodes: 3, config: 'thresold_m = 2' }), /did you mean threshold_m\?/);
});
