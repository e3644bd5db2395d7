// The ordinary Rust toolchain, and the environments in which cargo is called.

import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Failed, Missing, output, run, say } from './process.mjs';
import { manifestValue, root, toolRoot } from './workspace.mjs';

/** The environment of native builds. */
export function nativeEnvironment() {
  // The wasm fallback puts Debian's cargo into /usr/bin. Rustup's must win wherever PATH lists it later or not at all.
  const rustupBin = join(process.env.CARGO_HOME || join(homedir(), '.cargo'), 'bin');
  return withPath(process.env, existsSync(join(rustupBin, 'rustup')) ? [rustupBin] : []);
}

/**
 * Options of cargo for whatever tests run. They step protocols by the million: with a core that is optimised a little
 * they take a tenth of the time. Not in the manifest: lints would build the core of the page's build script so, too.
 */
export const buildOptions = ['--config', 'profile.dev.package.phaselab-core.opt-level=1'];

/** Set while `npm test` runs. */
export const wholeTest = 'PHASELAB_WHOLE_TEST';

/** The environment of builds for the page: as `base`, with our tools and npm's wasm-opt before any other. */
export function withWasmTools(base) {
  return withPath(base, [join(toolRoot, 'bin'), join(root, 'node_modules', '.bin')]);
}

/** True when the toolchain that `env` selects has a standard library for `target`. */
export function hasStandardLibrary(target, env) {
  const folder = output('rustc', ['--print', 'target-libdir', '--target', target], { env });
  return folder !== undefined && existsSync(folder) && readdirSync(folder).some((name) => /^libcore-.*\.rlib$/.test(name));
}

/** Cargo's target folder. Only cargo knows it: environment and configuration can move it. */
export function targetDirectory(env) {
  const metadata = output('cargo', ['metadata', '--no-deps', '--format-version', '1'], { env, loud: true });
  if (metadata === undefined) throw new Failed('cargo metadata', 'the workspace manifest cannot be read');
  return JSON.parse(metadata).target_directory;
}

/** Makes sure that rustup and a new enough compiler are there. Returns the environment of native builds. */
export function ensureRust() {
  const env = nativeEnvironment();
  const version = output('rustc', ['--version'], { env })?.match(/\d+\.\d+/)?.[0];
  if (version === undefined || output('rustup', ['--version'], { env }) === undefined) {
    throw new Missing('Rust is not installed by rustup.', "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh");
  }
  const needed = manifestValue('rust-version');
  if (isOlder(version, needed)) {
    throw new Missing(`Rust ${version} is installed; Phaselab needs ${needed}.`, 'rustup update stable');
  }
  return env;
}

/** Makes sure that rustfmt and clippy are there: rustup's minimal profile leaves them out. */
export function ensureLints(env) {
  for (const [component, subcommand] of [['rustfmt', 'fmt'], ['clippy', 'clippy']]) {
    if (output('cargo', [subcommand, '--version'], { env }) !== undefined) continue;
    say(`adding ${component} with rustup`);
    try {
      run('rustup', ['component', 'add', component], { env, timeoutMs: rustupLimitMs });
    } catch (error) {
      throw new Missing(error.message, `rustup component add ${component}`);
    }
  }
}

/** Rustup's downloads take seconds; where its server is out of reach it can hang for ever. */
export const rustupLimitMs = 180_000;

function withPath(env, folders) {
  return { ...env, PATH: [...folders, env.PATH].join(delimiter) };
}

function isOlder(version, needed) {
  const [major, minor] = version.split('.').map(Number);
  const [neededMajor, neededMinor] = needed.split('.').map(Number);
  return major < neededMajor || (major === neededMajor && minor < neededMinor);
}
