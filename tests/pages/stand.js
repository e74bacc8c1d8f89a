// What the page tests stand on. In: a configuration. Out: a real buzzerd with pads on its socket, and a real browser that
// looks at it. Guarantee: nothing is waited for by time; console errors, uncaught errors and violations of the page's policy
// are collected; what was started is ended, by its own pid.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const HERE = dirname(fileURLToPath(import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR || join(HERE, "../../target");
const BINARY = process.env.BUZZERD || join(TARGET, "debug/buzzerd");
const FIRST_KEY = 704;
export const PATIENCE_MS = 60_000;
export const PICTURES = process.env.BUZZERD_PICTURES || join(TARGET, "pages");

const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

/** A browser with an empty profile. */
export const browse = () => chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", headless: true, args: QUIET });

/** A directory, a configuration and the daemon on it, which can be killed and started again on the same port. */
export class Stand {
  constructor(pools) {
    this.dir = mkdtempSync(join(tmpdir(), "buzzerd-pages-"));
    this.pools = pools;
    this.port = 0;
    this.daemon = null;
  }

  async start() {
    const pools = this.pools.map(([id, more]) => `[[pool]]\nid = ${JSON.stringify(id)}\nsocket = ${JSON.stringify(this.socket(id))}\ndebounce_us = 0\n${more || ""}\n`);
    const file = join(this.dir, "buzzerd.toml");
    writeFileSync(file, `[server]\nlisten = ["127.0.0.1:${this.port}"]\n[log]\ndir = ${JSON.stringify(join(this.dir, "log"))}\n${pools.join("")}`);
    const env = { ...process.env, RUNTIME_DIRECTORY: join(this.dir, "run") };
    this.daemon = spawn(BINARY, ["serve", "--config", file], { env, stdio: ["ignore", "ignore", "pipe"] });
    this.ended = new Promise((done) => this.daemon.once("exit", done));
    const said = [];
    this.port = await new Promise((done, fail) => {
      createInterface(this.daemon.stderr).on("line", (line) => {
        said.push(line);
        const found = /listening: ws:\/\/[^/]*:(\d+)\//.exec(line);
        if (found) done(Number(found[1]));
      });
      this.daemon.once("exit", () => fail(new Error(said.join("\n"))));
    });
    this.url = `http://127.0.0.1:${this.port}/`;
  }

  socket(id) { return join(this.dir, `pool${this.pools.findIndex(([own]) => own === id)}.sock`); }

  signal(name) { process.kill(this.daemon.pid, name); }

  async kill() {
    this.signal("SIGKILL");
    await this.ended;
  }

  async end() {
    if (this.daemon.exitCode === null && this.daemon.signalCode === null) await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** A pad with these buzzers on a pool. */
  async pad(id, buzzers) {
    const stream = connect(this.socket(id));
    stream.on("error", () => {});
    const keys = Object.fromEntries(buzzers.map((buzzer, at) => [FIRST_KEY + at, buzzer]));
    stream.write(JSON.stringify({ name: "pad", buzzers: keys }) + "\n");
    await new Promise((done, fail) => {
      stream.once("data", (data) => (String(data).startsWith('{"ok":true}') ? done() : fail(new Error(String(data)))));
      stream.once("close", () => fail(new Error("the pad was not taken")));
    });
    return new Pad(stream, buzzers);
  }
}

class Pad {
  constructor(stream, buzzers) {
    this.stream = stream;
    this.buzzers = buzzers;
  }

  #record(type, code, value) {
    const bytes = Buffer.alloc(24);
    bytes.writeUInt16LE(type, 16);
    bytes.writeUInt16LE(code, 18);
    bytes.writeInt32LE(value, 20);
    return bytes;
  }

  move(buzzer, down) {
    const code = FIRST_KEY + this.buzzers.indexOf(buzzer);
    this.stream.write(Buffer.concat([this.#record(1, code, down ? 1 : 0), this.#record(0, 0, 0)]));
  }

  hit(buzzer) {
    this.move(buzzer, true);
    this.move(buzzer, false);
  }

  close() { this.stream.destroy(); }
}

/** A page of the screen whose faults are collected. */
export async function look(browser, stand, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.faults.push(message.text());
  });
  page.on("pageerror", (error) => page.faults.push(String(error)));
  await page.addInitScript(() => {
    window.faults = [];
    document.addEventListener("securitypolicyviolation", (event) => window.faults.push(event.violatedDirective));
    window.notes = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...at) { window.notes += 1; return start.apply(this, at); };
  });
  await page.goto(stand.url);
  await page.locator("#link.live").waitFor();
  return page;
}

/** Waits until an element's text is like this. */
export const wait = (page, selector, text) => page.locator(selector).filter({ hasText: text }).first().waitFor();

/** What is wrong with a page besides what a connection that cannot be made writes to every browser's console. */
export async function faults(page) {
  const own = page.faults.filter((text) => !/WebSocket connection to|net::ERR_|WebSocket is closed/.test(text));
  return [...own, ...(await page.evaluate(() => window.faults))];
}
