// The screen: what protocol v1 and /healthz tell, shown. In: messages of this page's own server, keys, clicks. Out: the page,
// and requests to connect a pool. Guarantee: the order is that in which buzzes were told, each buzzer once; what may have
// been missed is said where it is missing; a text from outside is only ever a text; a flood of messages is painted at most
// once a frame. It claims no time and no certainty, for v1 carries neither.
"use strict";

const BEAT_MS = 250; // A question to the daemon, so that silence is noticed.
const SILENT_BEATS = 3; // So many without any message: it does not answer.
const DROP_BEATS = 18; // So many: try another connection.
const OPEN_MS = 3000; // A connection must open within this time.
const RETRY_MS = [200, 400, 800, 1500];
const HEALTH_MS = 3000;
const SOUND_MS = 1000; // A browser that makes sounds has begun by then.
const HEALTH_PAGES = 4; // Pages of 512 buttons that are asked for.
const HELD_US = 3e6; // A shorter press is a press.
const ROWS = 100; // Rows of the order that are shown.
const CELLS = 40; // A pool with more buzzers shows them when asked.

const $ = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const show = (node, on) => { if (node.hidden === on) node.hidden = !on; };

// ---- What this browser keeps: names, sound, colours. Where it keeps nothing, they last as long as the page.
const kept = {
  read(key) { try { return localStorage.getItem("buzzerd." + key); } catch { return null; } },
  write(key, value) { try { localStorage.setItem("buzzerd." + key, value); } catch { /* Not kept. */ } },
};
let names = new Map();
const key = (pool, buzzer) => buzzer + " " + pool;
function readNames() {
  try { names = new Map(JSON.parse(kept.read("names") || "[]").filter((pair) => pair.every((text) => typeof text === "string"))); }
  catch { names = new Map(); }
}
const nameOf = (pool, buzzer) => names.get(key(pool, buzzer)) || "";
const called = (pool, buzzer) => nameOf(pool, buzzer) || "Buzzer " + buzzer;
function rename(pool, buzzer, name) {
  if (name.trim()) names.set(key(pool, buzzer), name.trim()); else names.delete(key(pool, buzzer));
  kept.write("names", JSON.stringify([...names]));
  paint(true);
}

// ---- What is known. A question begins with Space; the first one when the page opens.
const pools = new Map(); // id -> { id, available, connected, waiting, buzzers: Map(number -> { heard, state }), says }
let order = []; // { pool, buzzer, times } or { gap: text }, in the order of the telling
let places = new Map(); // key -> entry of `order`
let since = "opened"; // From when on this question was listened to without a gap: "asked", "opened" or "lost".
let before = "";
let link = "opening"; // "opening", "live", "silent" or "lost"
let health = null;
let wasLive = false;

function poolOf(id) {
  if (!pools.has(id)) pools.set(id, { id, available: true, connected: false, waiting: false, asking: false, buzzers: new Map(), says: "" });
  return pools.get(id);
}
function buzzerOf(pool, number) {
  if (!pool.buzzers.has(number)) pool.buzzers.set(number, { heard: false, state: null });
  return pool.buzzers.get(number);
}
const firstPress = () => order.find((entry) => !entry.gap);

function take(message) {
  const pool = typeof message.pool === "string" ? poolOf(message.pool) : null;
  if (message.event === "buzz") return buzz(pool, message.buzzer);
  if (message.event === "connected") {
    pool.connected = true;
    pool.says = "";
    buzzerOf(pool, message.buzzer);
  } else if (message.event === "disconnected") {
    if (message.buzzer === null) {
      pool.buzzers.clear();
      pool.says = "All its buzzers are gone; they come back by themselves when they are plugged in.";
    } else pool.buzzers.delete(message.buzzer);
  } else if (message.response === "pools") {
    for (const id of message.pools) poolOf(id);
    for (const known of pools.values()) known.available = message.pools.includes(known.id);
  } else if (message.response === "buzzers") {
    for (const one of message.pools) serve(poolOf(one.pool), one.buzzers);
  } else if (message.result === "connect") {
    socket.connecting = socket.connecting.filter((asked) => asked !== pool);
    pool.asking = false;
    pool.says = message.buzzers.length ? "" : "Connected; no buzzer has come yet.";
    serve(pool, message.buzzers);
  } else if (message.error) {
    // Answers come in the order of the requests, and nothing but a connect of this page can fail.
    const asked = socket.connecting.shift();
    if (asked) Object.assign(asked, { asking: false, says: "Not connected: " + (message.message || "no reason was given") });
  }
}
function serve(pool, numbers) {
  pool.connected = true;
  for (const number of [...pool.buzzers.keys()]) if (!numbers.includes(number)) pool.buzzers.delete(number);
  for (const number of numbers) buzzerOf(pool, number);
}
function buzz(pool, number) {
  buzzerOf(pool, number).heard = true;
  const known = places.get(key(pool.id, number));
  if (known) { known.times += 1; return; }
  const isFirst = places.size === 0;
  const entry = { pool: pool.id, buzzer: number, times: 1 };
  order.push(entry);
  places.set(key(pool.id, number), entry);
  if (isFirst) {
    play();
    put($("live"), FIRST[since] + ": " + called(pool.id, number) + ", buzzer " + number);
  }
}
function nextQuestion() {
  const told = order.filter((entry) => !entry.gap);
  if (told.length) {
    const list = told.slice(0, 8).map((entry) => called(entry.pool, entry.buzzer));
    before = "Last question: " + list.join(", ") + (told.length > 8 ? " and " + (told.length - 8) + " more" : "");
  }
  order = [];
  places = new Map();
  since = isLive() ? "asked" : "lost";
  put($("live"), "Cleared for the next question");
  paint(true);
}
// Presses may have been told to others while this page heard nothing.
function miss() {
  if (order.length) {
    if (!order[order.length - 1].gap) order.push({ gap: "The connection was lost here: presses may be missing." });
  } else since = "lost";
}

// ---- The connection.
let socket = null;
let retries = 0;
const isLive = () => link === "live";
function open() {
  const own = new WebSocket((location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/");
  own.connecting = [];
  own.unanswered = 0;
  socket = own;
  const slow = setTimeout(() => own.close(), OPEN_MS);
  own.onopen = () => {
    clearTimeout(slow);
    own.send('{"list":"pools"}');
    own.send('{"list":"buzzers"}');
  };
  own.onmessage = (event) => {
    if (own !== socket) return;
    own.unanswered = 0;
    if (!isLive()) {
      // Pools are asked for anew; what they were before the gap is not known to hold.
      if (link !== "silent") for (const pool of pools.values()) Object.assign(pool, { connected: false, buzzers: new Map() });
      link = "live";
      wasLive = true;
      retries = 0;
      setTimeout(look, 50);
    }
    let message;
    try { message = JSON.parse(event.data); } catch { return; }
    take(message);
    paint(false);
  };
  own.onclose = () => {
    clearTimeout(slow);
    if (own !== socket) return;
    socket = null;
    if (wasLive && link !== "lost") miss();
    link = "lost";
    for (const pool of pools.values()) pool.asking = false;
    setTimeout(open, RETRY_MS[Math.min(retries++, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2));
    paint(true);
  };
}
// Timers of a page that nobody sees, or of a machine that slept, come late: such a beat counts nothing.
let beatAt = performance.now();
function beat() {
  const now = performance.now();
  const late = now - beatAt > 3 * BEAT_MS;
  beatAt = now;
  const own = socket;
  if (!own || own.readyState !== WebSocket.OPEN) return;
  if (late) own.unanswered = Math.min(own.unanswered, 1);
  if (own.unanswered >= DROP_BEATS) {
    // The closing handshake would be waited for; nobody is there to answer it.
    own.onclose();
    own.close();
    return;
  }
  if (own.unanswered === SILENT_BEATS && isLive()) { link = "silent"; paint(true); }
  own.unanswered += 1;
  if (own.unanswered <= SILENT_BEATS + 1) own.send('{"list":"pools"}');
}
function connect(pool) {
  if (!socket || !isLive() || pool.asking) return;
  pool.asking = true;
  pool.says = "";
  socket.connecting.push(pool);
  socket.send(JSON.stringify({ command: "connect", pool: pool.id }));
  paint(true);
}

// ---- /healthz: what buttons do, and which pools wait.
let looking = false;
async function look() {
  if (looking || document.hidden || !isLive()) return;
  looking = true;
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 2000);
  try {
    const buttons = [];
    let page = null;
    for (let next = "", pages = 0; next !== null && pages < HEALTH_PAGES; pages += 1) {
      const answer = await fetch("/healthz?buttons" + (next && "=" + encodeURIComponent(next)), { signal: stop.signal, cache: "no-store" });
      page = await answer.json();
      buttons.push(...(page.buttons || []));
      next = page.next || null;
    }
    learn(page, buttons);
  } catch { /* The beat says whether it lives. */ } finally {
    clearTimeout(timer);
    looking = false;
  }
}
function learn(page, buttons) {
  health = page;
  for (const one of page.pools || []) {
    const pool = poolOf(one.pool);
    Object.assign(pool, { available: one.available, connected: one.connected, waiting: one.waiting });
  }
  // Several devices may serve one buzzer: it has what is wrong with any of them, and works if one of them does.
  const states = new Map();
  for (const button of buttons) {
    const at = key(button.pool, button.buzzer);
    const other = states.get(at) || { stuck: false, held: false, chattering: false, proved: false, heard: false };
    states.set(at, {
      stuck: other.stuck || button.stuck, held: other.held || button.held, chattering: other.chattering || button.chattering,
      proved: other.proved || button.proved, heard: other.heard || button.not_heard_us !== null,
    });
  }
  for (const pool of pools.values()) for (const [number, buzzer] of pool.buzzers) buzzer.state = states.get(key(pool.id, number)) || null;
  paint(true);
}

// ---- The page. A lone change is painted at once, the rest once a frame.
const FIRST = { asked: "First", opened: "First since this page was opened", lost: "First since the connection came back" };
const MISSED = {
  asked: "", opened: "Presses before that are not known here.", lost: "Somebody else may have pressed while nothing was heard here.",
};
const NO_POOL = "Plug in a buzzer hub: it appears here by itself. The command \u201cbuzzerd devices\u201d tells what is plugged in and what is "
  + "in the way; \u201cbuzzerd demo\u201d plays with four virtual buzzers.";
let painted = 0;
let frame = 0;
let stale = false;
function paint(everything) {
  stale = stale || everything;
  if (frame) return;
  if (performance.now() - painted > 40) draw(); else frame = requestAnimationFrame(draw);
}
function draw() {
  frame = 0;
  painted = performance.now();
  drawLink();
  drawFirst();
  drawOrder();
  drawPools();
  if (stale) drawTroubles();
  stale = false;
}
function drawLink() {
  const words = { opening: "Connecting …", live: "Connected to " + location.host, silent: "No answer", lost: "Connection lost" };
  put($("link"), words[link]);
  const look = link === "live" ? "live" : link === "opening" ? "" : "lost";
  if ($("link").className !== look) $("link").className = look;
  const banner = $("banner");
  const gone = link === "lost" ? "buzzerd is not there. Presses do not arrive on this screen; it tries again by itself."
    : link === "silent" ? "buzzerd does not answer. Presses do not arrive on this screen; it waits and tries again by itself." : "";
  document.body.classList.toggle("deaf", gone !== "");
  show(banner, gone !== "");
  put(banner, gone);
}
function badge(node, number) {
  put(node, String(number));
  const className = "badge shape" + (number % 4) + " colour" + (number % 8);
  if (node.className !== className) node.className = className;
}
const where = (pool) => (pools.size > 1 ? "Pool " + pool : "");
function drawFirst() {
  const first = firstPress();
  const box = $("first");
  box.classList.toggle("told", Boolean(first));
  show($("winner"), Boolean(first));
  if (!first) {
    const quiet = ![...pools.values()].some((pool) => pool.connected && pool.buzzers.size);
    put($("kicker"), !isLive() ? "Not connected" : quiet ? "No buzzers yet" : "Ready");
    put($("first-note"), !isLive() ? "" : quiet ? (listed().length ? "Connect a pool below." : NO_POOL)
      : since === "asked" ? "The next press stands here." : MISSED[since] + " Space begins a question afresh.");
    return;
  }
  const name = called(first.pool, first.buzzer);
  put($("kicker"), FIRST[since]);
  badge($("winner-badge"), first.buzzer);
  put($("winner-name"), name);
  $("winner-name").style.setProperty("--chars", String(Math.max(4, [...name].length)));
  put($("first-note"), [where(first.pool), MISSED[since]].filter(Boolean).join(". "));
}
const rows = []; // { entry, node, text } of what stands in the list
function drawOrder() {
  const list = $("order");
  const shown = Math.min(order.length, ROWS);
  while (rows.length > shown || (rows.length && rows[0].entry !== order[0])) rows.pop().node.remove();
  for (let at = 0; at < shown; at += 1) {
    const entry = order[at];
    if (!rows[at]) {
      const node = make("li", entry.gap ? "gap" : "press", entry.gap);
      if (!entry.gap) node.append(make("span", "badge"), make("bdi"), make("span", "again"));
      rows.push({ entry, node });
      list.append(node);
    }
    if (entry.gap) continue;
    const [mark, name, again] = rows[at].node.children;
    badge(mark, entry.buzzer);
    put(name, called(entry.pool, entry.buzzer) + (where(entry.pool) && " (" + entry.pool + ")"));
    put(again, entry.times > 1 ? entry.times + " presses" : "");
  }
  show($("more"), order.length > ROWS);
  put($("more"), "and " + (order.length - ROWS) + " more");
  put($("before"), before);
}
const STATES = [
  ["stuck", "Stuck: down for 10 s and more", "bad"], ["chattering", "Bad contact: it chatters", "bad"], ["held", "Held down", ""],
  ["proved", "✓ Works", "good"], ["heard", "Pressed", "good"],
];
function stateOf(buzzer) {
  const state = buzzer.state || {};
  const found = STATES.find(([name]) => state[name]);
  if (found) return found;
  return buzzer.heard ? STATES[4] : ["", "Not pressed yet", ""]; // Since it was connected.
}
const listed = () => [...pools.values()].filter((pool) => pool.available || pool.connected || pool.waiting);
function standing(pool) {
  if (!isLive()) return "Not known without a connection";
  if (pool.says) return pool.says;
  if (!pool.connected) return "Available, not connected";
  const all = [...pool.buzzers.values()];
  if (!all.length) return "Connected, waits for its buzzers";
  const silent = all.filter((buzzer) => !stateOf(buzzer)[0]).length;
  return "Connected, " + all.length + (all.length === 1 ? " buzzer" : " buzzers")
    + (silent ? ", " + (silent < all.length ? silent + " " : "") + "not pressed yet" : ", all were pressed");
}
const cards = new Map();
function drawPools() {
  const shown = listed();
  const first = firstPress();
  show($("setup"), shown.length > 0);
  show($("empty"), !shown.some((pool) => pool.connected));
  show($("names-note"), shown.some((pool) => pool.buzzers.size));
  for (const pool of shown) {
    if (!cards.has(pool.id)) cards.set(pool.id, makeCard(pool));
    drawCard(cards.get(pool.id), pool, first);
  }
  for (const [id, card] of cards) if (!shown.includes(pools.get(id))) { card.node.remove(); cards.delete(id); }
}
function makeCard(pool) {
  const node = make("article", "pool");
  const head = make("div", "pool-head");
  const title = make("h3");
  title.append(make("bdi", "", pool.id));
  const state = make("p", "pool-state");
  const button = make("button", "", "Connect");
  button.type = "button";
  button.setAttribute("aria-label", "Connect pool " + pool.id);
  button.onclick = () => connect(pool);
  head.append(title, state, button);
  const fold = make("details");
  fold.append(make("summary"));
  const list = make("ul", "buzzers");
  fold.ontoggle = () => paint(true);
  node.append(head, list, fold);
  $("pools").append(node);
  return { node, state, button, list, fold, cells: new Map() };
}
function drawCard(card, pool, first) {
  const count = pool.buzzers.size;
  show(card.button, !pool.connected);
  card.button.disabled = pool.asking || !isLive();
  put(card.button, pool.asking ? "Connecting …" : "Connect");
  put(card.state, standing(pool));
  card.state.className = "pool-state" + (pool.says.startsWith("Not") || pool.says.startsWith("All") ? " bad" : "");
  const folded = count > CELLS;
  show(card.fold, folded);
  put(card.fold.firstChild, count + " buzzers and their names");
  const home = folded ? card.fold : card.node;
  if (card.list.parentNode !== home) home.append(card.list);
  if (folded && !card.fold.open) return;
  for (const [number, cell] of card.cells) if (!pool.buzzers.has(number)) { cell.node.remove(); card.cells.delete(number); }
  for (const number of [...pool.buzzers.keys()].sort((one, other) => one - other)) {
    if (!card.cells.has(number)) addCell(card, pool, number);
    drawCell(card.cells.get(number), pool, number, first);
  }
}
function addCell(card, pool, number) {
  const node = make("li");
  const mark = make("span", "badge");
  badge(mark, number);
  const input = make("input");
  input.maxLength = 40;
  input.placeholder = "Name";
  input.dir = "auto";
  input.autocomplete = "off";
  input.setAttribute("aria-label", "Name of buzzer " + number + ", pool " + pool.id);
  input.oninput = () => rename(pool.id, number, input.value);
  input.onkeydown = (event) => { if (event.key === "Enter" || event.key === "Escape") input.blur(); };
  const state = make("span", "state");
  node.append(mark, input, state);
  const after = [...card.cells.keys()].filter((other) => other > number).sort((one, other) => one - other)[0];
  card.list.insertBefore(node, after === undefined ? null : card.cells.get(after).node);
  card.cells.set(number, { node, input, state });
}
function drawCell(cell, pool, number, first) {
  const name = nameOf(pool.id, number);
  if (document.activeElement !== cell.input && cell.input.value !== name) cell.input.value = name;
  const [, text, look] = stateOf(pool.buzzers.get(number));
  put(cell.state, text);
  const className = "state " + look;
  if (cell.state.className !== className) cell.state.className = className;
  cell.node.classList.toggle("first", Boolean(first) && first.pool === pool.id && first.buzzer === number);
}
function drawTroubles() {
  const page = health || {};
  const lines = [];
  const of = (button) => called(button.pool, button.buzzer) + (nameOf(button.pool, button.buzzer) && ", buzzer " + button.buzzer)
    + (pools.size > 1 ? ", pool " + button.pool : "");
  for (const button of page.troubled || []) {
    if (button.stuck) lines.push(of(button) + ": down for 10 s and more. It counts again after it was released.");
    else if (button.held_us > HELD_US) lines.push(of(button) + ": held down. It counts again after it was released.");
    if (button.chattering) lines.push(of(button) + ": its contact chatters. Clean it or change it.");
  }
  for (const pool of pools.values()) if (pool.waiting) lines.push("Pool " + pool.id + " is wanted, but nothing of it is there.");
  if (page.storage && page.storage !== "ok") lines.push("The log: " + page.storage);
  const list = $("troubles");
  lines.forEach((line, at) => put(list.children[at] || list.appendChild(make("li")), line));
  while (list.children.length > lines.length) list.lastChild.remove();
  show($("trouble"), lines.length > 0);
}

// ---- Sound: two notes, made here. A browser plays nothing before the first click or key on the page, and some never do: then
// the switch says so.
const Sounding = window.AudioContext || window.webkitAudioContext;
let audio = null;
let sounds = kept.read("sound") !== "off";
let blocked = !Sounding;
let trial = 0;
function wake() {
  // Escape is no leave to make a sound, and a page that tries is blamed in the console.
  const leave = navigator.userActivation;
  if (!sounds || !Sounding || (leave && !leave.hasBeenActive)) return;
  try {
    if (!audio) {
      audio = new Sounding();
      audio.onstatechange = drawSound;
    }
    if (audio.state !== "running") audio.resume().catch(() => {});
  } catch { /* The trial says so. */ }
  if (!trial && !(audio && audio.state === "running")) trial = setTimeout(() => { trial = 0; blocked = true; drawSound(); }, SOUND_MS);
  drawSound();
}
function play() {
  if (!sounds || !audio || audio.state !== "running") return;
  [[880, 0], [1320, 0.09]].forEach(([pitch, after]) => {
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    const at = audio.currentTime + after;
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.0001, at);
    volume.gain.exponentialRampToValueAtTime(0.3, at + 0.008);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.28);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.3);
  });
}
function drawSound() {
  if (audio && audio.state === "running") {
    clearTimeout(trial);
    trial = 0;
    blocked = false;
  }
  put($("sound"), !sounds ? "Sound: off" : blocked ? "Sound: blocked by this browser"
    : audio && audio.state === "running" ? "Sound: on" : "Sound: waits for a click or key");
  $("sound").setAttribute("aria-pressed", String(sounds));
}
$("sound").onclick = () => {
  sounds = !sounds;
  kept.write("sound", sounds ? "on" : "off");
  wake();
  drawSound();
  play();
};

// ---- Colours.
const THEMES = { auto: "Colours: automatic", light: "Colours: light", dark: "Colours: dark" };
function dress(theme) {
  const own = theme in THEMES ? theme : "auto";
  document.documentElement.dataset.theme = own;
  put($("theme"), THEMES[own]);
}
$("theme").onclick = () => {
  const all = Object.keys(THEMES);
  const next = all[(all.indexOf(document.documentElement.dataset.theme) + 1) % all.length];
  kept.write("theme", next);
  dress(next);
};

// ---- Keys and clicks. Space clears; on a focused control it does what it does there, and nothing else.
$("clear").onclick = nextQuestion;
document.addEventListener("keydown", (event) => {
  wake();
  if (event.key !== " " || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (event.target instanceof Element && event.target.closest("button, input, summary, a, select, textarea")) return;
  event.preventDefault();
  if (!event.repeat) nextQuestion();
});
document.addEventListener("pointerdown", wake);
// Behind a click with a pointer Space is again for the next question; who came by keyboard stays where he is.
document.addEventListener("click", (event) => {
  wake(); // A finger has clicked when it is lifted.
  const control = event.detail > 0 && event.target instanceof Element && event.target.closest("button, summary");
  if (control) control.blur();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) { paint(true); look(); } });
window.addEventListener("storage", () => { readNames(); paint(true); });

readNames();
dress(kept.read("theme") || "auto");
drawSound();
draw();
open();
setInterval(beat, BEAT_MS);
setInterval(look, HEALTH_MS);
