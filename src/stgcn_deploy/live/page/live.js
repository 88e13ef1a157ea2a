// The live page: state and events come as server-sent events, images are asked for one by one.
// Whatever comes from outside is set as text, never as markup.
import { Card } from "./card.js";
import { Events } from "./events.js";

// A state older than this is of the past.
const SILENT_MS = 4000;
const AGAIN_MS = 3000;

const query = new URLSearchParams(location.search);
if (query.has("token")) {
  // The cookie stands for it from now on; an address is easily shown to others.
  query.delete("token");
  history.replaceState(null, "", location.pathname + (String(query) && `?${query}`));
}

const byId = (id) => document.getElementById(id);
const cards = new Map();
const events = new Events(byId("events"), byId("no-events"), byId("all-events"));
let setup = null;
let heard = performance.now();
let last = null;

function banner(text) {
  const shown = byId("banner");
  if (shown.textContent !== text) shown.textContent = text;
  shown.hidden = !text;
}

function totals(state) {
  const up = state.cameras.filter((one) => one.state === "running");
  byId("total-cameras").textContent = `${up.length} of ${state.cameras.length}`;
  byId("total-fps").textContent = Math.round(up.reduce((sum, one) => sum + one.fps, 0));
  byId("total-people").textContent = state.cameras.reduce((sum, one) => sum + one.people.length, 0);
  const slowest = Math.max(-1, ...up.map((one) => one.delay_ms.result?.p95 ?? -1));
  byId("total-delay").textContent = slowest < 0 ? "–" : `${Math.round(slowest)} ms`;
  const level = byId("level");
  level.className = `chip ${state.level.level ? "wait" : "good"}`;
  const text = state.level.level ? `slowed down: ${state.level.name}` : "keeping up";
  const shown = level.querySelector(".text");
  if (shown.textContent !== text) shown.textContent = text;
}

function show(state) {
  heard = performance.now();
  banner("");
  totals(state);
  for (const one of state.cameras) {
    if (!cards.has(one.name)) {
      const card = new Card(one.name, setup, { still: query.has("still") });
      cards.set(one.name, card);
      byId("cameras").append(card.element);
    }
    cards.get(one.name).show(one);
  }
  const visible = [...cards.values()].filter((card) => card.visible).length;
  for (const card of cards.values()) card.pace(visible);
}

function listen() {
  const source = new EventSource(last ? `events?since=${encodeURIComponent(last)}` : "events");
  source.addEventListener("state", (message) => show(JSON.parse(message.data)));
  source.addEventListener("happened", (message) => {
    last = message.lastEventId;
    events.add(JSON.parse(message.data));
  });
  source.addEventListener("error", () => {
    // The browser tries again by itself, unless the server answered and refused.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_MS);
  });
}

async function begin() {
  try {
    const answer = await fetch("setup.json");
    if (!answer.ok) throw new Error(await answer.text());
    setup = await answer.json();
  } catch (error) {
    banner(`No connection to the run: ${error.message}`);
    setTimeout(begin, AGAIN_MS);
    return;
  }
  listen();
}

setInterval(() => {
  if (performance.now() - heard < SILENT_MS) return;
  banner("No connection to the run; what is shown is old. Trying again …");
  for (const card of cards.values()) card.lose();
}, 1000);
begin();
