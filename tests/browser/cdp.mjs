// A browser without Playwright, whose tabs can be hidden: Playwright makes every page believe that it is in front.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findChromium } from '../../scripts/lib/chromium.mjs';

/** How long anything may take: a bound on hanging. */
const limitMs = 30_000;

/** A browser of its own, spoken to over a pipe. */
export class Browser {
  static async open() {
    const browser = new Browser();
    browser.profile = mkdtempSync(join(tmpdir(), 'phaselab-cdp-'));
    const words = ['--headless=new', '--remote-debugging-pipe', `--user-data-dir=${browser.profile}`, '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', 'about:blank'];
    if (process.getuid?.() === 0) words.unshift('--no-sandbox');
    browser.child = spawn(findChromium(), words, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    browser.ended = new Promise((done) => browser.child.on('exit', done));
    browser.asked = new Map();
    let seen = '';
    browser.child.stdio[4].setEncoding('utf8').on('data', (chunk) => {
      const messages = (seen + chunk).split('\0');
      seen = messages.pop();
      for (const message of messages) browser.hear(JSON.parse(message));
    });
    await browser.send('Browser.getVersion');
    return browser;
  }

  hear({ id, result, error }) {
    const waiting = this.asked.get(id);
    this.asked.delete(id);
    if (error) waiting?.refused(new Error(error.message));
    else waiting?.answered(result);
  }

  send(method, params = {}, sessionId = undefined) {
    const id = (this.last = (this.last ?? 0) + 1);
    return new Promise((answered, refused) => {
      this.asked.set(id, { answered, refused });
      this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** A tab in front of those that were opened before. */
  async tab(url) {
    const { targetId } = await this.send('Target.createTarget', { url });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    return new Tab(this, targetId, sessionId);
  }

  async close() {
    // By itself: what is killed leaves children that still write.
    await this.send('Browser.close');
    await this.ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

/** A tab of it. */
class Tab {
  constructor(browser, targetId, sessionId) {
    Object.assign(this, { browser, targetId, sessionId });
  }

  send(method, params) {
    return this.browser.send(method, params, this.sessionId);
  }

  /** The value of an expression in the page. */
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression) {
    const deadline = Date.now() + limitMs;
    while (!(await this.evaluate(expression))) {
      if (Date.now() > deadline) throw new Error(`never true: ${expression}; ${await this.evaluate('document.body.innerText.slice(0, 600)')}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  /** An attribute of the element with this test id. */
  attribute(id, name) {
    return this.evaluate(`document.querySelector('[data-testid="${id}"]')?.getAttribute('${name}') ?? null`);
  }

  click(id) {
    return this.evaluate(`document.querySelector('[data-testid="${id}"]').click()`);
  }

  /** Brings it to the front, and hides the others. */
  toFront() {
    return this.browser.send('Target.activateTarget', { targetId: this.targetId });
  }

  /** Stops everything in it, threads included, as a browser that saves memory does; or lets it go on. */
  freeze() {
    return this.send('Page.setWebLifecycleState', { state: 'frozen' });
  }

  resume() {
    return this.send('Page.setWebLifecycleState', { state: 'active' });
  }
}
