// The list of what happened, newest first.
import { WORDS } from "./card.js";

const MOST = 100;
// Those that are not about the beginning of an action stand back until they are asked for.
const DETAILS = new Set(["action_update", "action_end", "camera_state", "offline"]);
const TONES = { degraded: "wait", offline: "bad" };

function words(event) {
  switch (event.type) {
    case "action_start":
      return event.label;
    case "action_update":
      return `${event.label} goes on`;
    case "action_end":
      return `${event.label} ended`;
    case "camera_state":
      return `camera ${WORDS[event.label] ?? event.label}`;
    case "degraded":
      return `level: ${event.label}`;
    default:
      return event.label ? `${event.type}: ${event.label}` : event.type;
  }
}

function place(event) {
  const parts = [event.camera + (event.track === null ? "" : ` #${event.track}`)];
  if (event.latency_ms !== null) parts.push(`${Math.round(event.latency_ms)}\u00a0ms`);
  if (event.reason) parts.push(event.reason);
  return parts.filter(Boolean).join(" · ");
}

export class Events {
  constructor(list, nothing, all) {
    this.list = list;
    this.nothing = nothing;
    this.template = document.getElementById("event-template");
    this.ids = new Set();
    all.addEventListener("change", () => {
      list.classList.toggle("all", all.checked);
      this.count();
    });
  }

  add(event) {
    // After a restart of the run's server the same events may come again.
    if (this.ids.has(event.id)) return;
    this.ids.add(event.id);
    const item = this.template.content.firstElementChild.cloneNode(true);
    item.dataset.id = event.id;
    const fresh = Date.now() / 1000 - event.t_emit < 5;
    item.classList.toggle("new", fresh);
    item.classList.toggle("detail", DETAILS.has(event.type));
    item.classList.toggle("minor", DETAILS.has(event.type) && !TONES[event.type]);
    if (TONES[event.type]) item.classList.add(TONES[event.type]);
    const when = new Date(1000 * event.t_event);
    const time = item.querySelector("time");
    time.dateTime = when.toISOString();
    time.textContent = when.toTimeString().slice(0, 8);
    item.querySelector(".what").textContent = words(event);
    item.querySelector(".where").textContent = place(event);
    item.querySelector(".share").textContent =
      event.score === null ? "" : `${Math.round(100 * event.score)}%`;
    this.list.prepend(item);
    while (this.list.children.length > MOST) {
      this.ids.delete(this.list.lastElementChild.dataset.id);
      this.list.lastElementChild.remove();
    }
    this.count();
  }

  count() {
    const shown = [...this.list.children].some(
      (item) => this.list.classList.contains("all") || !item.classList.contains("detail"),
    );
    this.nothing.hidden = shown;
  }
}
