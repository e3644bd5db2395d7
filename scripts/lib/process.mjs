// Starting other programs, and the two ways in which a script of ours ends badly.

import { spawn, spawnSync } from 'node:child_process';
import { root } from './workspace.mjs';

/** A program ran and failed. It has said why by itself. */
export class Failed extends Error {
  exitStatus = 1;

  constructor(command, reason, childStatus) {
    super(`${command}: ${reason}`);
    this.childStatus = childStatus;
  }
}

/** Something is missing that no script may install. `remedy` is the exact command that a person runs. */
export class Missing extends Error {
  exitStatus = 2;

  constructor(what, remedy) {
    super(`${what}\nRun this, then start again:\n  ${remedy}`);
  }
}

/** Prints one line about what happens now. */
export function say(line) {
  console.log(`phaselab: ${line}`);
}

/** Runs a program in the repository's root with its output shown; throws `Failed` unless it exits with 0. */
export function run(command, args, { cwd = root, env = process.env, timeoutMs, quiet = false } = {}) {
  const shown = [command, ...args].join(' ');
  const result = spawnSync(command, args, {
    cwd,
    env,
    stdio: quiet ? ['ignore', 'ignore', 'inherit'] : ['ignore', 'inherit', 'inherit'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  if (result.error?.code === 'ETIMEDOUT') throw new Failed(shown, `no end after ${timeoutMs / 1000} s`);
  if (result.error) throw new Failed(shown, result.error.message);
  if (result.signal) throw new Failed(shown, `ended by ${result.signal}`);
  if (result.status !== 0) throw new Failed(shown, `exit status ${result.status}`, result.status);
}

/** As `run`, beside whatever is done until the promise is awaited. */
export function start(command, args, { cwd = root, env = process.env } = {}) {
  const shown = [command, ...args].join(' ');
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = new Promise((done, failed) => {
    child.on('error', (error) => failed(new Failed(shown, error.message)));
    child.on('exit', (status, signal) => {
      if (status === 0) done();
      else failed(new Failed(shown, signal ? `ended by ${signal}` : `exit status ${status}`, status ?? undefined));
    });
  });
  // Whoever started it may fail before it awaits this.
  ended.catch(() => {});
  return ended;
}

/** Runs another script of ours. When it fails, this one ends with its exit status. */
export function runScript(name) {
  try {
    run(process.execPath, [`scripts/${name}.mjs`]);
  } catch (error) {
    if (error instanceof Failed && error.childStatus) error.exitStatus = error.childStatus;
    throw error;
  }
}

/** The trimmed standard output of a program, or undefined when it is absent or fails. `loud` shows what it complains of. */
export function output(command, args, { cwd = root, env = process.env, loud = false } = {}) {
  const stdio = ['ignore', 'pipe', loud ? 'inherit' : 'ignore'];
  const result = spawnSync(command, args, { cwd, env, stdio, encoding: 'utf8', maxBuffer: 1 << 28 });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/** Runs a script's main function. Exit status: 1 when something failed, 2 when something is missing. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof Failed || error instanceof Missing)) throw error;
    console.error(`phaselab: ${error.message}`);
    process.exitCode = error.exitStatus;
  }
}
