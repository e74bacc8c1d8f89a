// The screen in a real browser, before a real buzzerd. In: presses, keys, clicks, a daemon that dies. Out: what stands on the
// page, pictures of it. Guarantee: each test has a daemon and a page of its own.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { PATIENCE_MS, PICTURES, Stand, browse, faults, look, wait } from "./stand.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SIZES = { phone: [390, 844], laptop: [1280, 800], projector: [1920, 1080] };
const NAMES = { 1: "Ada", 2: "Ben", 3: "Cem", 4: "Dora" };
let browser;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  browser = await browse();
});
after(() => browser.close());

function screen(name, pools, body) {
  test(name, { timeout: 5 * PATIENCE_MS }, async (context) => {
    const stand = new Stand(pools);
    await stand.start();
    context.after(() => stand.end());
    const page = await look(browser, stand);
    context.after(() => page.context().close());
    await body(page, stand);
    assert.deepEqual(await faults(page), []);
  });
}

/** axe-core's rules, in both dresses. CDP's evaluation is no script of the page, so its policy stays in force. */
async function accessible(page, state) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.evaluate(AXE);
    const found = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
    const said = found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`);
    assert.deepEqual(said, [], `${state}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

async function pictures(page, state) {
  for (const [size, [width, height]] of Object.entries(SIZES)) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.screenshot({ path: join(PICTURES, `${state}-${size}-${colorScheme}.png`) });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${state}, ${size}: ${wide} px too wide`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: "light" });
}

async function christen(page) {
  for (const [buzzer, name] of Object.entries(NAMES)) await page.getByLabel(`Name of buzzer ${buzzer}, pool desk`).fill(name);
  await page.locator("body").click({ position: { x: 4, y: 300 } });
}

const order = (page) => page.locator("#order li").evaluateAll((rows) => rows.map((row) => row.textContent));
const told = (page, buzzer) => wait(page, "#order li .badge", new RegExp(`^${buzzer}$`));

screen("a game: connect, names, first, order, Space", [["desk"]], async (page, stand) => {
  const pad = await stand.pad("desk", [1, 2, 3, 4]);
  await wait(page, "#kicker", "No buzzers yet");
  await accessible(page, "not connected");
  await page.getByRole("button", { name: "Connect pool desk" }).click();
  await wait(page, ".pool-state", "Connected, 4 buzzers");
  await christen(page);
  await page.keyboard.press("Space");
  await wait(page, "#kicker", "Ready");
  await pictures(page, "ready");
  for (const buzzer of [2, 4, 1, 2]) pad.hit(buzzer);
  await told(page, 1);
  await wait(page, ".again", "2 presses");
  assert.deepEqual(await order(page), ["2Ben2 presses", "4Dora", "1Ada"]);
  assert.equal(await page.locator("#kicker").textContent(), "First");
  assert.equal(await page.locator("#winner-name").textContent(), "Ben");
  assert.equal(await page.locator("#live").textContent(), "First: Ben, buzzer 2");
  assert.equal(await page.evaluate(() => window.notes), 2, "one sound, of two notes");
  await accessible(page, "told");
  await pictures(page, "told");
  await page.screenshot({ path: join(PICTURES, "screen.png") });

  await page.keyboard.press("Space");
  await wait(page, "#before", "Last question: Ben, Dora, Ada");
  assert.deepEqual(await order(page), []);
  pad.hit(3);
  await wait(page, "#winner-name", "Cem");
  assert.equal(await page.evaluate(() => window.notes), 4);

  const words = (await page.locator("body").innerText()).toLowerCase();
  for (const claim of ["certain", "photo finish", " ms", "µs"]) assert.ok(!words.includes(claim), claim);
});

screen("Space does one thing, wherever the focus is", [["desk", "autoconnect = true"]], async (page, stand) => {
  const pad = await stand.pad("desk", [1, 2]);
  await wait(page, ".pool-state", "Connected, 2 buzzers");
  pad.hit(1);
  await told(page, 1);
  const name = page.getByLabel("Name of buzzer 1, pool desk");
  await name.click();
  await page.keyboard.type("Ada L");
  // What is painted comes with the next frame. A space in a name clears nothing.
  await wait(page, "#winner-name", /^Ada L$/);
  await page.keyboard.press("Enter");
  // By keyboard: the focused button is pressed, and the order stays.
  await page.locator("#sound").focus();
  await page.keyboard.press("Space");
  await wait(page, "#sound", "Sound: off");
  assert.equal((await order(page)).length, 1);
  // With the pointer: the button gives the focus back.
  await page.locator("#sound").click();
  await wait(page, "#sound", "Sound: on");
  const notes = await page.evaluate(() => window.notes);
  await page.keyboard.press("Space");
  await wait(page, "#before", "Last question: Ada L");
  assert.deepEqual([await order(page), await page.locator("#sound").textContent()], [[], "Sound: on"]);
  // The button for it, by keyboard: once.
  pad.hit(2);
  await told(page, 2);
  await page.locator("#clear").focus();
  await page.keyboard.press("Space");
  await wait(page, "#before", "Last question: Buzzer 2");
  pad.hit(1);
  await told(page, 1);
  await page.evaluate(() => {
    document.activeElement.blur();
    document.dispatchEvent(new KeyboardEvent("keydown", { key: " ", repeat: true, bubbles: true }));
  });
  assert.equal((await order(page)).length, 1, "a key that is held repeats, and clears once");
  assert.ok((await page.evaluate(() => window.notes)) > notes);
  await page.locator("#sound").click();
  await page.keyboard.press("Space");
  const silent = await page.evaluate(() => window.notes);
  pad.hit(1);
  await told(page, 1);
  assert.equal(await page.evaluate(() => window.notes), silent, "sound is off");
});

const SILENT = {
  "never starts": () => { AudioContext.prototype.resume = () => new Promise(() => {}); Object.defineProperty(AudioContext.prototype, "state", { get: () => "suspended" }); },
  "refuses to start": () => {
    AudioContext.prototype.resume = () => Promise.reject(new DOMException("not allowed", "NotAllowedError"));
    Object.defineProperty(AudioContext.prototype, "state", { get: () => "suspended" });
  },
  "throws": () => { window.AudioContext = class { constructor() { throw new DOMException("no device", "NotSupportedError"); } }; },
  "has none": () => { delete window.AudioContext; delete window.webkitAudioContext; },
};
for (const [how, spoil] of Object.entries(SILENT)) {
  screen(`a browser whose sound ${how}: the switch says so`, [["desk", "autoconnect = true"]], async (page, stand) => {
    await page.addInitScript(spoil);
    await page.reload();
    await page.locator("#link.live").waitFor();
    await page.locator("body").click({ position: { x: 4, y: 300 } });
    await wait(page, "#sound", "Sound: blocked by this browser");
    const pad = await stand.pad("desk", [1]);
    await wait(page, ".pool-state", "Connected, 1 buzzer");
    pad.hit(1);
    await told(page, 1);
    assert.equal(await page.evaluate(() => window.notes), 0);
    await page.locator("#sound").click();
    await wait(page, "#sound", "Sound: off");
  });
}

screen("before the first click the switch says that sound waits", [["desk", "autoconnect = true"]], async (page, stand) => {
  const pad = await stand.pad("desk", [1]);
  await wait(page, ".pool-state", "Connected, 1 buzzer");
  pad.hit(1);
  await told(page, 1);
  assert.equal(await page.locator("#sound").textContent(), "Sound: waits for a click or key");
  assert.equal(await page.evaluate(() => window.notes), 0);
  await page.keyboard.press("a");
  await wait(page, "#sound", "Sound: on");
});

screen("everything by keyboard", [["desk"]], async (page, stand) => {
  await stand.pad("desk", [1]);
  await wait(page, ".pool-state", "Available");
  const seen = [];
  for (let at = 0; at < 12 && !seen.includes("Connect pool desk"); at += 1) {
    await page.keyboard.press("Tab");
    seen.push(await page.evaluate(() => document.activeElement.getAttribute("aria-label") || document.activeElement.id));
  }
  for (const control of ["sound", "theme", "clear", "Connect pool desk"]) assert.ok(seen.includes(control), `${control} in ${seen}`);
  await page.keyboard.press("Space");
  await wait(page, ".pool-state", "Connected, 1 buzzer");
});

screen("names outlast a reload, and what was told before it is not made up", [["desk", "autoconnect = true"]], async (page, stand) => {
  const pad = await stand.pad("desk", [1, 2, 3, 4]);
  await wait(page, ".pool-state", "Connected, 4 buzzers");
  await christen(page);
  pad.hit(3);
  await wait(page, "#winner-name", "Cem");
  await page.reload();
  await page.locator("#link.live").waitFor();
  await wait(page, ".pool-state", "Connected, 4 buzzers");
  pad.hit(4);
  await wait(page, "#winner-name", "Dora");
  assert.equal(await page.locator("#kicker").textContent(), "First since this page was opened");
  assert.match(await page.locator("#first-note").textContent(), /not known here/);
  await page.locator("#theme").click();
  await page.locator("#theme").click();
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
});

screen("a daemon that is killed is missed at once, and comes back by itself", [["desk"], ["stage"]], async (page, stand) => {
  let pad = await stand.pad("desk", [1, 2]);
  await page.getByRole("button", { name: "Connect pool desk" }).click();
  await wait(page, ".pool-state", "Connected, 2 buzzers");
  await page.keyboard.press("Space");
  pad.hit(1);
  await told(page, 1);
  const from = Date.now();
  await stand.kill();
  await wait(page, "#banner", "buzzerd is not there");
  console.log(`# said ${Date.now() - from} ms after the kill`);
  await accessible(page, "gone");
  await pictures(page, "gone");
  await stand.start();
  await page.locator("#link.live").waitFor();
  assert.ok(await page.locator("#banner").isHidden());
  pad = await stand.pad("desk", [1, 2]);
  await wait(page, ".pool-state", "Connected, 2 buzzers");
  pad.hit(2);
  await told(page, 2);
  assert.deepEqual((await order(page)).map((row) => row.slice(0, 10)), ["1Buzzer 1 ", "The connec", "2Buzzer 2 "]);

  // A question of which the beginning was missed has no "First".
  await page.keyboard.press("Space");
  await stand.kill();
  await wait(page, "#banner", "buzzerd is not there");
  await stand.start();
  await page.locator("#link.live").waitFor();
  pad = await stand.pad("desk", [1, 2]);
  await wait(page, ".pool-state", "Connected, 2 buzzers");
  pad.hit(2);
  await told(page, 2);
  assert.equal(await page.locator("#kicker").textContent(), "First since the connection came back");
  await page.keyboard.press("Space");
  pad.hit(1);
  await told(page, 1);
  assert.equal(await page.locator("#kicker").textContent(), "First");
});

screen("a daemon that hangs is said, and nothing it told is lost", [["desk", "autoconnect = true"]], async (page, stand) => {
  const pad = await stand.pad("desk", [1, 2]);
  await wait(page, ".pool-state", "Connected, 2 buzzers");
  await page.keyboard.press("Space");
  const from = Date.now();
  stand.signal("SIGSTOP");
  await wait(page, "#banner", "buzzerd does not answer");
  console.log(`# said ${Date.now() - from} ms after the stop`);
  stand.signal("SIGCONT");
  await page.locator("#link.live").waitFor();
  pad.hit(2);
  await told(page, 2);
  assert.equal(await page.locator("#kicker").textContent(), "First", "the same connection: there is no gap");
  // Longer, and the page looks for another connection.
  stand.signal("SIGSTOP");
  await wait(page, "#banner", "buzzerd is not there");
  stand.signal("SIGCONT");
  await page.locator("#link.live").waitFor();
  pad.hit(1);
  await told(page, 1);
  assert.match((await order(page))[1], /connection was lost here/);
});

screen("100 presses a second, and a pool of 700", [["desk", "autoconnect = true"]], async (page, stand) => {
  const pads = [];
  for (let at = 0; at < 14; at += 1) pads.push(await stand.pad("desk", Array.from({ length: 50 }, (_, nth) => 50 * at + nth + 1)));
  await wait(page, ".pool-state", "Connected, 700 buzzers");
  await page.keyboard.press("Space");
  // How long the page does not look up: the longest pause between two ticks.
  await page.evaluate(() => {
    window.pause = 0;
    let last = performance.now();
    setInterval(() => { const now = performance.now(); window.pause = Math.max(window.pause, now - last); last = now; }, 10);
  });
  let sent = 0;
  await new Promise((done) => {
    const timer = setInterval(() => {
      for (let nth = 0; nth < 5; nth += 1) { pads[sent % 14].hit(50 * (sent % 14) + (Math.floor(sent / 14) % 50) + 1); sent += 1; }
      if (sent >= 500) { clearInterval(timer); done(); }
    }, 50);
  });
  await wait(page, "#more", "and 400 more");
  console.log(`# 500 presses; the page's longest pause: ${Math.round(await page.evaluate(() => window.pause))} ms`);
  await pictures(page, "many");
  await accessible(page, "many");
  await page.locator("summary").click();
  await page.getByLabel("Name of buzzer 700, pool desk").fill("Zoe");
  assert.equal(await page.locator(".buzzers li").count(), 700);
});

screen("what is held, silent, unplugged or refused is said", [["desk", "autoconnect = true"], ["<b>&\"x", ""]], async (page, stand) => {
  const pad = await stand.pad("desk", [1, 2, 3, 4]);
  await wait(page, ".pool-state", "Connected, 4 buzzers");
  pad.move(2, true);
  pad.hit(3);
  await told(page, 3);
  await wait(page, "#troubles li", "Buzzer 2, pool desk: held down");
  await wait(page, ".pool-state", "Connected, 4 buzzers, 2 not pressed yet");
  await wait(page, ".buzzers .state", "✓ Works");
  await wait(page, ".buzzers .state", "Not pressed yet");
  await wait(page, "#troubles li", "Buzzer 2, pool desk: down for 10 s");
  await accessible(page, "trouble");
  await pictures(page, "trouble");
  await page.getByLabel("Name of buzzer 1, pool desk").fill("<img src=x onerror=alert(1)>");
  pad.hit(1);
  await told(page, 1);
  assert.equal(await page.locator("img, b").count(), 0, "a name is a text");
  await page.getByRole("button", { name: 'Connect pool <b>&"x' }).click();
  await wait(page, ".pool-state", "no buzzer has come yet");
  pad.close();
  await wait(page, ".pool-state", "All its buzzers are gone");
  await wait(page, "#troubles li", "Pool desk is wanted");
  await stand.pad("desk", [1]);
  await wait(page, ".pool-state", "Connected, 1 buzzer");
});

screen("a box without pools says what to do", [], async (page) => {
  await wait(page, "#first-note", "Plug in a buzzer hub");
  await accessible(page, "empty");
  await pictures(page, "empty");
});
