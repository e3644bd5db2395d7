// npm run bench:cluster [-- --events N] [--binary FILE] [--keep]: decided events per second and latency of 4 nodes on the
// loopback, beside the bound that signatures set on the same machine in the same run. Every measurement is made twice in
// turns, with the stores on a disk and in memory: the store always synchronises, and what that costs is the difference.
// Nothing is asserted of times; see tests/benches/README.md for what the columns mean.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Failed, main, output, run, say } from './lib/process.mjs';
import { nativeEnvironment, targetDirectory } from './lib/toolchain.mjs';
import { root } from './lib/workspace.mjs';

const nodes = 4;

/** Requests under way at once, and events of one measurement unless told. */
const loads = [[1, 100], [4, 300], [16, 500], [64, 600]];
const warmUp = 100;

/** An event spends an output, whose change rests for 3 s: with init's number, fast runs would measure that they ran out. */
const outputs = 20_000;

const startLimitMs = 30_000;
/** `man 5 proc`: the unit of times in /proc/PID/stat on every Linux of today. */
const ticksPerSecond = 100;
const tmpfsMagic = 0x01021994;

const { values: options } = parseArgs({
  options: { events: { type: 'string' }, binary: { type: 'string' }, keep: { type: 'boolean' } },
});

main(async () => {
  const env = nativeEnvironment();
  const target = targetDirectory(env);
  if (!options.binary) run('cargo', ['build', '--release', '-p', 'phaselab'], { env });
  run('cargo', ['bench', '-p', 'phaselab-tests', '--bench', 'signatures', '--no-run'], { env, quiet: true });
  const binary = options.binary ?? join(target, 'release', 'phaselab');
  const cores = availableParallelism();
  say(`${nodes} nodes, one client and the chain's host share ${cores} cores; load before: ${loadavg()[0].toFixed(1)}`);
  say(`each cluster begins with ${outputs} outputs, where init writes ${outputsOfInit(binary, target)}: an event spends one, whose change rests for 3 s`);
  let speed = signatures(env);

  const clusters = [];
  try {
    for (const [store, parent] of places(target)) clusters.push(await start(binary, store, parent));
    for (const cluster of clusters) {
      cluster.syncMs = syncedWriteMs(cluster.dir);
      await measure(binary, cluster, 4, warmUp, 'warm');
    }
    const rows = [];
    for (const [atOnce, usual] of loads) {
      for (const cluster of clusters) {
        const events = options.events ? Number(options.events) : usual;
        rows.push(await measure(binary, cluster, atOnce, events, `load${atOnce}`));
      }
    }
    for (const cluster of clusters) await stop(cluster);
    for (const cluster of clusters) {
      cluster.counted = signatures(env, join(cluster.dir, 'recordings'));
      speed = { verify_ns: Math.min(speed.verify_ns, cluster.counted.verify_ns), sign_ns: Math.min(speed.sign_ns, cluster.counted.sign_ns) };
    }
    report(clusters, rows, speed, cores);
  } finally {
    for (const cluster of clusters) {
      await stop(cluster);
      if (!options.keep) rmSync(cluster.dir, { recursive: true, force: true });
    }
  }
  say(`load after: ${loadavg()[0].toFixed(1)}; other programs make all of this slower, so compare lines of one run`);
});

/** Where stores are: name, and folder to make a scratch folder in. */
function places(target) {
  const isInMemory = (path) => statfsSync(path).type === tmpfsMagic;
  const found = [[isInMemory(target) ? 'memory' : 'disk', target]];
  if (found[0][0] === 'disk' && existsSync('/dev/shm') && isInMemory('/dev/shm')) found.push(['memory', '/dev/shm']);
  if (found.length === 1) say(`there is no second place for stores: all are in ${found[0][0] === 'disk' ? 'files' : 'memory'}, and what syncing costs is not shown apart`);
  return found;
}

function outputsOfInit(binary, target) {
  const dir = mkdtempSync(join(target, 'bench-cluster-'));
  try {
    run(binary, ['init', '--dir', dir, '--base-port', '0'], { quiet: true });
    return readFileSync(join(dir, 'genesis.toml'), 'utf8').match(/^utxos = (\d+)/m)[1];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Starts a cluster, and waits until all nodes are connected to one another and see all outputs. */
async function start(binary, store, parent) {
  const dir = mkdtempSync(join(parent, 'bench-cluster-'));
  run(binary, ['init', '--nodes', String(nodes), '--dir', dir, '--base-port', '0', '--metrics-port', '0'], { quiet: true });
  const genesis = join(dir, 'genesis.toml');
  const text = readFileSync(genesis, 'utf8');
  writeFileSync(genesis, text.replace(/^utxos = \d+/m, `utxos = ${outputs}`));
  const child = spawn(binary, ['cluster', '--dir', dir, '--page-port', '0'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  const cluster = { store, dir, child, gone: new Promise((gone) => child.once('exit', gone)) };
  try {
    await connected(binary, cluster);
    const ids = Array.from({ length: nodes }, (_, index) => index + 1);
    cluster.metrics = ids.map((id) => {
      const config = readFileSync(join(dir, `node-${id}.toml`), 'utf8');
      return `http://${config.match(/^\[metrics\]\nlisten = "(.+)"/m)[1]}/metrics`;
    });
    await settled(cluster);
  } catch (error) {
    await stop(cluster);
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
  return cluster;
}

async function connected(binary, cluster) {
  for (const begun = Date.now(); Date.now() - begun < startLimitMs; await new Promise((wait) => setTimeout(wait, 200))) {
    if (cluster.child.exitCode !== null) throw new Failed('phaselab cluster', `exit status ${cluster.child.exitCode}`);
    const status = output(binary, ['status', '--dir', cluster.dir, '--json']);
    const reports = status ? JSON.parse(status).nodes.map((node) => node.report) : [];
    if (reports.length === nodes && reports.every((report) => report?.peers.every((peer) => peer.connected))) {
      cluster.pids = reports.map((report) => report.pid);
      return;
    }
  }
  throw new Failed('phaselab cluster', `not all nodes were connected after ${startLimitMs / 1000} s`);
}

/** Waits until the chain has told all of its outputs, which it does in parts: nodes with other views propose otherwise. */
async function settled(cluster) {
  for (let before = -1, now = 0; now !== before; ) {
    await new Promise((wait) => setTimeout(wait, 1500));
    [before, now] = [now, (await meters(cluster))['phaselab_inputs_total fact']];
  }
}

async function stop(cluster) {
  cluster.child.kill('SIGINT');
  await cluster.gone;
}

/** Submits events with so many under way at once, and reads what that took. */
async function measure(binary, cluster, atOnce, events, name) {
  const requests = Array.from({ length: events }, (_, index) => JSON.stringify({ event: `${name}-${index}`, amount: 5 }));
  const before = await meters(cluster);
  const args = ['submit', '--dir', cluster.dir, '--file', '-', '--at-once', String(atOnce), '--wait', '60s', '--json'];
  const { total, times } = await submit(binary, args, requests.join('\n'));
  const after = await meters(cluster);
  const rose = Object.fromEntries(Object.keys(after).map((key) => [key, after[key] - (before[key] ?? 0)]));
  // One event that needs a second round takes 10 s: it shall show as what it is, a slow event, not as a slow cluster.
  const most = Math.ceil(0.99 * total.decided);
  const perSecond = most > 0 ? (1000 * most) / times[most - 1] : 0;
  say(`${cluster.store}, ${atOnce} at once: ${total.decided} of ${events} events decided, ${perSecond.toFixed(1)}/s`);
  return { cluster, atOnce, total, perSecond, rose };
}

/** The last line of a batch of requests, and when each decision was told, in milliseconds. */
async function submit(binary, args, requests) {
  const begun = performance.now();
  const asking = spawn(binary, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((ends) => asking.once('exit', (status, signal) => ends(signal ?? status)));
  asking.stdin.end(requests);
  const times = [];
  let last;
  for await (const text of createInterface({ input: asking.stdout })) {
    last = JSON.parse(text);
    if (last.outcome === 'decided') times.push(performance.now() - begun);
  }
  const end = await ended;
  // 1 says that an event was not decided, which is counted.
  if (end !== 0 && end !== 1) throw new Failed(`phaselab ${args.join(' ')}`, `ended with ${end}`);
  return { total: last, times };
}

/** What all nodes have counted so far, and the CPU that processes have used. */
async function meters(cluster) {
  const sums = { nodesMs: cpuMs(cluster.pids), hostMs: cpuMs([cluster.child.pid]) };
  for (const address of cluster.metrics) {
    const text = await (await fetch(address)).text();
    for (const [, name, labels, value] of text.matchAll(/^(\w+)\{(.*)\} (\S+)$/gm)) {
      const kind = labels.match(/kind="(\w+)"/)?.[1];
      const key = kind ? `${name} ${kind}` : name;
      sums[key] = (sums[key] ?? 0) + Number(value);
    }
  }
  return sums;
}

/** User and system time of processes; not a number where there is no /proc. */
function cpuMs(pids) {
  if (!existsSync('/proc/self/stat')) return NaN;
  const ticks = pids.map((pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return (1000 * ticks.reduce((sum, some) => sum + some, 0)) / ticksPerSecond;
}

/** The median of synchronised writes of a page, without any store. */
function syncedWriteMs(dir) {
  const file = openSync(join(dir, 'synced'), 'w');
  const page = Buffer.alloc(4096, 1);
  const times = Array.from({ length: 51 }, () => {
    const begun = performance.now();
    writeSync(file, page, 0, page.length, 0);
    fdatasyncSync(file);
    return performance.now() - begun;
  });
  closeSync(file);
  return times.sort((a, b) => a - b)[25];
}

/** How long signatures take, and how many the recordings in a folder hold. */
function signatures(env, recordings) {
  const args = ['bench', '-q', '-p', 'phaselab-tests', '--bench', 'signatures', ...(recordings ? ['--', recordings] : [])];
  const line = output('cargo', args, { env, loud: true });
  if (line === undefined) throw new Failed(`cargo ${args.join(' ')}`, 'no measurement');
  return JSON.parse(line);
}

function report(clusters, rows, speed, cores) {
  const us = (ns) => `${(ns / 1000).toFixed(1)} us`;
  say(`one Ed25519 signature on one core: ${us(speed.verify_ns)} to verify, ${us(speed.sign_ns)} to make`);
  for (const { store, syncMs, counted } of clusters) {
    const per = counted.verified / counted.packets;
    say(`${store}: a synced write of 4 kB takes ${syncMs.toFixed(3)} ms; a packet brings ${per.toFixed(2)} signatures to verify (${counted.packets} recorded)`);
  }
  const columns = ['store', 'at once', 'decided/s', 'p50 ms', 'p90 ms', 'p99 ms', 'max ms', 'failed', 'rounds', 'packets', 'verified', 'bound/s', `x${cores}`, 'of bound', 'nodes ms', 'signatures', 'host ms', 'commits', 'rows', 'commit ms', 'dropped'];
  const lines = rows.map((row) => line(row, speed, cores));
  const widths = columns.map((column, at) => Math.max(column.length, ...lines.map((cells) => cells[at].length)));
  for (const cells of [columns, ...lines]) {
    console.log(cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join('  ').trimEnd());
  }
  for (const [atOnce] of clusters.length === 2 ? loads : []) {
    const [disk, memory] = clusters.map((cluster) => rows.find((row) => row.cluster === cluster && row.atOnce === atOnce));
    say(`${atOnce} at once: in memory ${(memory.perSecond / disk.perSecond).toFixed(2)} x as many decided/s as on a disk`);
  }
}

function line({ cluster, atOnce, total, perSecond, rose }, speed, cores) {
  const { counted } = cluster;
  const decided = total.decided || NaN;
  const packets = rose['phaselab_inputs_total packet'] / decided;
  const verified = (packets * counted.verified) / counted.packets;
  const signed = (packets * counted.signed) / counted.packets;
  const bound = 1e9 / (verified * speed.verify_ns);
  const signing = (verified * speed.verify_ns + signed * speed.sign_ns) / 1e6;
  const commits = rose.phaselab_store_commits_total;
  const percent = (part) => `${Math.round(100 * part)}%`;
  const { p50, p90, p99, max } = total.latency_ms ?? {};
  return [
    cluster.store, atOnce, perSecond.toFixed(1), p50 ?? '-', p90 ?? '-', p99 ?? '-', max ?? '-', total.requests - total.decided,
    rose.two_phase_proposal_timeouts_total ?? 0, packets.toFixed(1), verified.toFixed(0), bound.toFixed(0), (bound * cores).toFixed(0), percent(perSecond / (bound * cores)),
    (rose.nodesMs / decided).toFixed(1), percent(signing / (rose.nodesMs / decided)), (rose.hostMs / decided).toFixed(1),
    (commits / decided).toFixed(1), (rose.phaselab_store_commit_rows_sum / commits).toFixed(1), (1000 * rose.phaselab_store_commit_seconds_sum / commits).toFixed(2),
    rose.phaselab_peer_packets_dropped_total ?? 0,
  ].map(String);
}
