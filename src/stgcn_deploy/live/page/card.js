// One camera: its picture, its state, what its people do.
import { Extent, colourOf, draw } from "./draw.js";

// How a state is shown: good, wait, bad, or none of them; the word stands beside it in any case.
const TONES = { running: "good", stalled: "wait", connecting: "wait", backoff: "bad", disabled: "bad" };
export const WORDS = { init: "starting", backoff: "reconnecting", stalled: "no frames", disabled: "switched off" };
const MOST_PEOPLE = 5;
// All cameras in sight together ask for so many images a second, each for at most ten.
const ALL_IMAGES = 40;
const SHORTEST_MS = 100;
const AGAIN_MS = 500;

const watched = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.target.card.visible = entry.isIntersecting;
});

function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function percent(share) {
  return `${Math.round(100 * share)}%`;
}

function spread(found) {
  return found ? `${Math.round(found.p50)} / ${Math.round(found.p95)} ms` : "–";
}

export class Card {
  constructor(name, setup, { still }) {
    this.name = name;
    this.setup = setup;
    this.still = still;
    this.visible = false;
    this.state = null;
    this.interval = SHORTEST_MS;
    this.count = 0;
    this.timer = null;
    this.motion = false;
    this.extent = new Extent();
    this.people = new Map();
    this.element = clone("card-template");
    this.element.card = this;
    this.find(".name").textContent = name;
    this.button = this.find(".enlarge");
    this.button.setAttribute("aria-label", `Enlarge ${name}`);
    this.button.addEventListener("click", () => this.enlarge());
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.large) this.enlarge();
    });
    this.image = this.find("img");
    this.canvas = this.find("canvas");
    this.image.addEventListener("load", () => this.loaded());
    this.image.addEventListener("error", () => this.next(AGAIN_MS));
    watched.observe(this.element);
    this.next(0);
  }

  get large() {
    return this.element.classList.contains("large");
  }

  get url() {
    return `cameras/${encodeURIComponent(this.name)}`;
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  /** What the board says of the camera. */
  show(state) {
    this.state = state;
    const tone = TONES[state.state] ?? "";
    this.element.className = `card ${tone}${this.large ? " large" : ""}`;
    this.element.classList.toggle("away", state.state !== "running");
    const chip = this.find(".state");
    chip.className = `chip state ${tone}`;
    set(chip.querySelector(".text"), WORDS[state.state] ?? state.state);
    const reason = this.find(".reason");
    set(reason, state.state === "running" ? "" : state.reason);
    set(this.find(".fps"), state.state === "running" ? `${state.fps.toFixed(1)} fps` : "");
    set(this.find(".delay-people"), spread(state.delay_ms.people));
    set(this.find(".delay-result"), spread(state.delay_ms.result));
    const drops = Object.entries(state.drops.frames).map(([why, count]) => `${count} ${why}`);
    set(this.find(".drops"), drops.join(", ") || "none");
    this.showPeople(state);
    this.describe(state);
  }

  showPeople(state) {
    const list = this.find(".people");
    const rows = state.people.map((one) => ({ key: `#${one.track}`, ...one }));
    if (state.scene) rows.unshift({ key: "all", action: state.scene, track: null });
    const kept = rows.slice(0, MOST_PEOPLE);
    for (const [key, element] of this.people) {
      if (!kept.some((one) => one.key === key)) {
        element.remove();
        this.people.delete(key);
      }
    }
    for (const one of kept) {
      if (!this.people.has(one.key)) {
        const made = clone("person-template");
        if (one.track !== null) made.style.setProperty("--person", colourOf(one.track));
        set(made.querySelector(".who"), one.key);
        this.people.set(one.key, made);
        list.append(made);
      }
      const element = this.people.get(one.key);
      element.classList.toggle("unsure", !one.action);
      set(element.querySelector(".what"), one.action ? one.action.label : "not sure yet");
      set(element.querySelector(".share"), one.action ? percent(one.action.score) : "");
      element.querySelector(".bar").style.setProperty("--share", one.action ? one.action.score : 0);
    }
    this.rest(list, rows.length - kept.length, state);
  }

  rest(list, more, state) {
    let line = list.querySelector(".more");
    const text = more > 0 ? `and ${more} more` : "";
    const nobody = !state.people.length && !state.scene && state.state === "running";
    if (!text && !nobody) {
      line?.remove();
      return;
    }
    if (!line) {
      line = document.createElement("li");
      line.className = "more";
    }
    set(line, text || "nobody in sight");
    if (list.lastElementChild !== line) list.append(line);
  }

  describe(state) {
    const found = state.people.map((one) => (one.action ? one.action.label : "somebody"));
    const text = `${this.name}: ${found.join(", ") || "nobody in sight"}`;
    this.image.alt = text;
    this.canvas.setAttribute("aria-label", text);
    const never = state.images === null || (this.image.hidden && this.canvas.hidden);
    set(this.find(".blank"), never ? (state.state === "running" ? "waiting for a picture" : "no picture") : "");
  }

  /** The connection to the run is gone: nothing shown is true any more. */
  lose() {
    this.element.classList.add("away");
    this.motion = false;
  }

  enlarge() {
    const large = this.element.classList.toggle("large");
    this.button.setAttribute("aria-pressed", String(large));
    this.button.setAttribute("aria-label", `${large ? "Make smaller:" : "Enlarge"} ${this.name}`);
    if (large) this.element.scrollIntoView({ block: "nearest" });
    this.next(0);
  }

  /** Share the images of a second among the cameras in sight. */
  pace(visible) {
    this.interval = Math.max(SHORTEST_MS, (1000 * Math.max(visible, 1)) / ALL_IMAGES);
  }

  next(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), wait);
  }

  ask() {
    const state = this.state;
    const wanted = this.visible && !document.hidden && state?.state === "running";
    if (!wanted || state.images === null) {
      if (this.motion) this.end();
      this.next(AGAIN_MS);
    } else if (!state.images) {
      this.askPeople();
    } else if (this.large && !this.still) {
      this.begin();
      this.next(AGAIN_MS);
    } else {
      this.motion = false;
      this.asked = performance.now();
      // Without the number a browser may show the image that it has.
      this.image.src = `${this.url}.jpg?n=${(this.count += 1)}`;
      // An answer that never comes is asked for again.
      this.next(5000);
    }
  }

  /** One camera alone may hold a connection; browsers open six to a host, and all others wait. */
  begin() {
    if (this.motion) return;
    this.motion = true;
    this.image.src = `${this.url}.mjpg?n=${(this.count += 1)}`;
  }

  end() {
    this.motion = false;
    this.image.removeAttribute("src");
    this.image.hidden = true;
  }

  loaded() {
    this.image.hidden = false;
    this.canvas.hidden = true;
    set(this.find(".blank"), "");
    if (!this.motion) this.next(Math.max(0, this.interval - (performance.now() - this.asked)));
  }

  async askPeople() {
    const began = performance.now();
    try {
      const answer = await fetch(`${this.url}.json`);
      if (answer.ok) {
        const seen = await answer.json();
        this.canvas.hidden = false;
        this.image.hidden = true;
        set(this.find(".blank"), "");
        draw(this.canvas, seen, this.setup, this.extent);
      }
      this.next(Math.max(0, this.interval - (performance.now() - began)));
    } catch {
      this.next(AGAIN_MS);
    }
  }
}
