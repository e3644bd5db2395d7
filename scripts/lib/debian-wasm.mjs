// wasm32 where rustup cannot fetch it. Debian and Ubuntu ship a compiler for web browsers together with the sources of
// its standard library. The library is built from them once, into the folder where that compiler looks for it, and the
// compiler becomes the rustup toolchain `phaselab-wasm`, for wasm builds alone: native builds keep the ordinary one.

import { copyFileSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { canUseApt, installPackages } from './apt.mjs';
import { Failed, Missing, output, run, say } from './process.mjs';
import { cache } from './workspace.mjs';

const toolchain = 'phaselab-wasm';
const rustlib = '/usr/lib/rustlib';
const library = `${rustlib}/wasm32-unknown-unknown/lib`;
// Standard library and compiler must be of one version, and apt upgrades the compiler behind our back.
const stamp = join(library, 'built-by-phaselab-with');
const packages = ['rustc-web', 'cargo-web', 'rust-web-src', 'rust-web-clippy'];

/** The environment that selects Debian's toolchain, or undefined when it is not ready for wasm32. */
export function debianEnvironment(native) {
  const linked = output('rustup', ['toolchain', 'list'], { env: native })?.split('\n').some((line) => line.startsWith(toolchain));
  const current = existsSync(stamp) && readFileSync(stamp, 'utf8') === compilerVersion();
  return linked && current && existsSync(linkerPath()) ? { ...native, RUSTUP_TOOLCHAIN: toolchain } : undefined;
}

/** True for an environment that `debianEnvironment` made. */
export function isDebianEnvironment(env) {
  return env?.RUSTUP_TOOLCHAIN === toolchain;
}

/** Makes sure that Debian's compiler and the sources of its standard library are there. */
export function ensureDebianSources() {
  if (existsSync(`${rustlib}/src/rust/library/std`) && existsSync('/usr/bin/cargo')) return;
  requireApt();
  installPackages(packages);
}

/** Installs Debian's toolchain and builds its standard library for wasm32. */
export function installDebianTarget(native) {
  requireApt();
  installPackages(packages);
  buildStandardLibrary(native);
  linkLinker(native);
  run('rustup', ['toolchain', 'link', toolchain, '/usr'], { env: native });
}

/** The environment in which Debian's cargo builds a standard library from source, with a target folder of its own. */
export function buildStdEnvironment(native, targetFolder) {
  const { RUSTUP_TOOLCHAIN, RUSTFLAGS, ...env } = native;
  return { ...env, RUSTC: '/usr/bin/rustc', RUSTC_BOOTSTRAP: '1', CARGO_TARGET_DIR: targetFolder };
}

function requireApt() {
  if (canUseApt()) return;
  const remedy = 'rustup target add wasm32-unknown-unknown thumbv7em-none-eabi';
  throw new Missing('Rustup cannot fetch the targets that are needed.', remedy);
}

function buildStandardLibrary(native) {
  say('building the standard library for wasm32, about a minute, once');
  const folder = join(cache, 'wasm-std');
  mkdirSync(join(folder, 'src'), { recursive: true });
  writeFileSync(join(folder, 'Cargo.toml'), '[package]\nname = "empty"\nedition = "2024"\n[workspace]\n');
  writeFileSync(join(folder, 'src', 'lib.rs'), '#![no_std]\n');
  // Without `test`, no wasm test can be built.
  const args = ['build', '--release', '--target', 'wasm32-unknown-unknown', '-Zbuild-std=std,panic_abort,test'];
  run('/usr/bin/cargo', args, { cwd: folder, env: buildStdEnvironment(native, join(folder, 'target')) });

  const built = join(folder, 'target', 'wasm32-unknown-unknown', 'release', 'deps');
  // Libraries of an earlier compiler would stand beside the new ones under other hashes.
  rmSync(library, { recursive: true, force: true });
  mkdirSync(library, { recursive: true });
  for (const name of readdirSync(built)) {
    if (/^lib.*\.(rlib|rmeta)$/.test(name) && !name.startsWith('libempty-')) copyFileSync(join(built, name), join(library, name));
  }
  writeFileSync(stamp, compilerVersion());
  rmSync(folder, { recursive: true });
}

/** Debian's compiler comes without rust-lld; the ordinary toolchain has it. */
function linkLinker(native) {
  const source = join(output('rustc', ['--print', 'sysroot'], { env: native }), 'lib', 'rustlib', host(), 'bin', 'rust-lld');
  if (!existsSync(source)) throw new Failed('linking rust-lld', `${source} does not exist`);
  const link = linkerPath();
  mkdirSync(dirname(link), { recursive: true });
  if (lstatSync(link, { throwIfNoEntry: false })) rmSync(link);
  symlinkSync(source, link);
}

function linkerPath() {
  return join(rustlib, host(), 'bin', 'rust-lld');
}

function host() {
  return compilerVersion().match(/^host: (.*)$/m)?.[1] ?? '';
}

function compilerVersion() {
  return output('/usr/bin/rustc', ['-vV']) ?? '';
}
