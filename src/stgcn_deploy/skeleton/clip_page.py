"""A clip as one HTML page that plays it: no library, nothing fetched, light and dark.

The coordinates travel as whole numbers of 16 bits, a fraction of the size of JSON; the page's script
draws them into one SVG.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.scene import COLOURS, LEFT, RIGHT, Scene

__all__ = ["MOST_NUMBERS", "clip_page"]

# 22 MB of page; browsers play it, and mail still carries it.
MOST_NUMBERS = 8_000_000
# Frames are played at this rate where nobody says another.
DEFAULT_FPS = 25.0
_FULL, _MISSING = 30_000, -32_768
_HEIGHT, _NARROW, _WIDE, _PAD = 460.0, 0.8, 2.0, 22.0


def clip_page(
    scene: Scene,
    *,
    title: str,
    fps: float | None = None,
    facts: Sequence[tuple[str, str]] = (),
    note: str = "",
) -> str:
    """The page.

    Args:
        fps: frames per second, where known.
        facts: (name, value) to show under the title.
        note: a sentence under the picture.

    Raises:
        UsageError: the clip is too long for one page.
    """
    count = scene.points.size
    if count > MOST_NUMBERS:
        raise UsageError(
            f"the recording has {scene.frames} frames, {count} numbers; a page holds {MOST_NUMBERS}. "
            "Cut it first: stgcn data convert --frames."
        )
    if fps is None:
        note = f"{note} Frame rate unknown, played at {DEFAULT_FPS:g} fps.".strip()
    listed = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts
    )
    data = json.dumps(_data(scene, fps or DEFAULT_FPS), separators=(",", ":"))
    return (
        _PAGE.replace("@TITLE@", _text(title))
        .replace("@FACTS@", listed)
        .replace("@KEY@", _key(scene))
        .replace("@NOTE@", _text(note))
        .replace("@TURN@", _TURN if scene.points.shape[-1] > 2 else "")
        # Last, so that no text of the user's is taken for one of the marks; no tag can end it.
        .replace("@DATA@", data.replace("<", "\\u003c"))
    )


def _text(text: str) -> str:
    """Escaped, and without the letters that no page may hold."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return escape(plain).replace("@", "&#64;")


def _key(scene: Scene) -> str:
    """Whose colours these are."""
    sided = {LEFT, RIGHT} <= set(scene.sides)
    if len(scene.persons) == 1 and sided:
        left, _, right = COLOURS[scene.persons[0] % len(COLOURS)]
        return f"<span>{_dot(left)}left side</span><span>{_dot(right)}right side</span>"
    parts = []
    for person in scene.persons:
        left, middle, right = COLOURS[person % len(COLOURS)]
        dots = _dot(left) + _dot(right) if sided else _dot(middle)
        parts.append(f"<span>{dots}person {person + 1}</span>")
    if sided and parts:
        parts.append("<span>(left side dark, right side light)</span>")
    return "".join(parts)


def _dot(colour: str) -> str:
    return f'<i style="background:{colour}"></i>'


def _data(scene: Scene, fps: float) -> dict[str, Any]:
    """What the script needs; points as little-endian int16 (M, T, V, D), of the shown persons only."""
    size = scene.high - scene.low
    middle = (scene.low + scene.high) / 2
    # Strays may lie outside the box, but not further than 16 bits reach.
    reach = float(size.max()) / 2 * 1.5
    shown, there = scene.points[list(scene.persons)], scene.present[list(scene.persons)]
    scaled = np.clip((shown - middle) / reach, -1.08, 1.08) * _FULL
    whole = np.where(there[..., None], scaled.round(), _MISSING).astype("<i2")
    width, height, scale = _stage(scene, reach)
    return {
        "shape": list(whole.shape),
        "fps": fps,
        "width": width,
        "height": height,
        "scale": scale / _FULL * reach,
        "bone": float(np.clip(0.015 * scene.body * scale, 1.4, 5.5)),
        "persons": list(scene.persons),
        "colours": COLOURS,
        "sides": scene.sides,
        "faces": [int(face) for face in scene.faces],
        "bones": [[bone.start, bone.end, bone.side, int(bone.face)] for bone in scene.bones],
        "points": base64.b64encode(whole.tobytes()).decode("ascii"),
    }


def _stage(scene: Scene, reach: float) -> tuple[float, float, float]:
    """Width and height of the picture, and its units for one unit of the clip."""
    size = scene.high - scene.low
    # What can be turned around the vertical needs room for its depth too.
    across = float(np.hypot(size[0], size[2])) if len(size) > 2 else float(size[0])
    aspect = float(np.clip(across / size[1], _NARROW, _WIDE))
    inner = _HEIGHT - 2 * _PAD
    scale = min(inner / float(size[1]), inner * aspect / max(across, 1e-9 * reach))
    return round(inner * aspect + 2 * _PAD), _HEIGHT, scale


_TURN = """<label class="turn">Turn
<input id="turn" type="range" min="-90" max="90" value="0" step="1"></label>"""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>@TITLE@</title>
<style>
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#1c2230;--soft:#606a7b;--line:#dfe3ea;
--accent:#2367df}
@media (prefers-color-scheme:dark){:root{--page:#11141a;--card:#191d26;--ink:#e7eaf0;--soft:#98a2b3;
--line:#2b313d;--accent:#6ba1ff}}
*{box-sizing:border-box}
body{margin:0;padding:24px 16px;background:var(--page);color:var(--ink);
font:15px/1.45 system-ui,sans-serif}
main{max-width:980px;margin:0 auto}
h1{font-size:19px;line-height:1.3;margin:0 0 6px;overflow-wrap:anywhere}
dl{display:flex;flex-wrap:wrap;gap:2px 20px;margin:0 0 14px;font-size:13.5px}
dl div{display:flex;gap:6px}
dt{color:var(--soft)}dd{margin:0}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
#stage{display:block;width:100%;max-height:66vh;fill:none;stroke-linecap:round;stroke-linejoin:round}
.bar{display:flex;align-items:center;gap:12px;padding:10px 14px;border-top:1px solid var(--line)}
button{font:inherit;color:var(--ink);background:transparent;border:1px solid var(--line);
border-radius:7px;height:34px;min-width:38px;padding:0 10px;cursor:pointer}
button:hover,select:hover{border-color:var(--accent)}
#play{color:#fff;background:#2367df;border-color:#2367df;min-width:76px}
select{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);
border-radius:7px;height:34px;padding:0 6px}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.time{flex:1;min-width:90px;position:relative}
#lanes{display:block;width:100%;margin-bottom:3px}
#seek{width:100%;margin:0;display:block;accent-color:var(--accent)}
#turn{width:120px;vertical-align:middle;accent-color:var(--accent)}
.turn{font-size:13.5px;color:var(--soft);white-space:nowrap}
output{font-variant-numeric:tabular-nums;font-size:13.5px;color:var(--soft);white-space:nowrap;
min-width:122px;text-align:right}
.foot{display:flex;flex-wrap:wrap;gap:4px 22px;margin:10px 2px 0;font-size:13px;color:var(--soft)}
.foot i{display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:5px}
.foot i+i{margin-left:-3px}
.foot span:empty{display:none}
@media (max-width:640px){.bar{flex-wrap:wrap}.time{flex-basis:100%;order:-1}}
</style>
<main>
<h1>@TITLE@</h1>
<dl>@FACTS@</dl>
<div class="card">
<svg id="stage" role="img" aria-label="@TITLE@"></svg>
<div class="bar">
<button id="play" type="button">Pause</button>
<button id="back" type="button" aria-label="One frame back" title="One frame back">&#8249;</button>
<button id="next" type="button" aria-label="One frame on" title="One frame on">&#8250;</button>
<div class="time"><svg id="lanes" aria-hidden="true" preserveAspectRatio="none"></svg>
<input id="seek" type="range" min="0" value="0" step="1" aria-label="Frame"></div>
<output id="where"></output>
<select id="speed" aria-label="Speed"><option value="0.25">&#188;x</option>
<option value="0.5">&#189;x</option><option value="1" selected>1x</option>
<option value="2">2x</option><option value="4">4x</option></select>
@TURN@
</div>
</div>
<div class="foot">@KEY@<span>@NOTE@</span>
<span>Space plays, arrow keys step.</span></div>
</main>
<script type="application/json" id="data">@DATA@</script>
<script>
"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const [M, T, V, C] = D.shape, MISSING = -32768, NS = "http://www.w3.org/2000/svg";
const bytes = Uint8Array.from(atob(D.points), c => c.charCodeAt(0));
const view = new DataView(bytes.buffer), P = new Int16Array(bytes.length / 2);
for (let i = 0; i < P.length; i++) P[i] = view.getInt16(2 * i, true);
const by = id => document.getElementById(id);
const stage = by("stage"), seek = by("seek"), play = by("play"), turn = by("turn");
stage.setAttribute("viewBox", `0 0 ${D.width} ${D.height}`);
seek.max = Math.max(0, T - 1);
const add = (parent, name, attributes) => {
  const made = document.createElementNS(NS, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  return parent.appendChild(made);
};
// The right side lies under the left, in every frame alike.
const layers = D.persons.map(person => {
  const group = add(stage, "g", {}), row = D.colours[person % D.colours.length], found = [];
  for (const kind of ["bone", "joint"]) for (const side of [2, 1, 0]) for (const face of [1, 0]) {
    const width = D.bone * (kind === "bone" ? (face ? .45 : 1) : (face ? .8 : 1.75));
    const path = add(group, "path", {stroke: row[side], "stroke-width": width.toFixed(2)});
    const parts = [];
    if (kind === "bone") {
      D.bones.forEach(b => { if (b[2] === side && b[3] === face) parts.push([b[0], b[1]]); });
    } else {
      for (let v = 0; v < V; v++) if (D.sides[v] === side && D.faces[v] === face) parts.push([v]);
    }
    if (parts.length) found.push([path, parts]); else path.remove();
  }
  return found;
});
const nobody = add(stage, "text", {x: D.width / 2, y: D.height / 2, "text-anchor": "middle",
  "font-size": 15, fill: "currentColor", "fill-opacity": .45});
nobody.textContent = "nobody in this frame";
let at = 0, playing = false, angle = 0, clock = null;
const there = (m, t) => {
  for (let v = 0; v < V; v++) if (P[((m * T + t) * V + v) * C] !== MISSING) return true;
  return false;
};
const present = D.persons.map((_, m) => Array.from({length: T}, (_, t) => there(m, t)));
// Padding at either end is not worth the wait; the slider still goes there.
const anybody = Array.from({length: T}, (_, t) => present.some(row => row[t]));
const first = Math.max(0, anybody.indexOf(true)), last = Math.max(first, anybody.lastIndexOf(true));
function spot(m, t, v) {
  const i = ((m * T + t) * V + v) * C;
  if (P[i] === MISSING) return null;
  let x = P[i];
  if (C > 2) x = x * Math.cos(angle) + P[i + 2] * Math.sin(angle);
  return [(D.width / 2 + x * D.scale).toFixed(1), (D.height / 2 + P[i + 1] * D.scale).toFixed(1)];
}
function draw() {
  layers.forEach((paths, m) => {
    const spots = [];
    for (let v = 0; v < V; v++) spots.push(spot(m, at, v));
    for (const [path, parts] of paths) {
      let d = "";
      for (const [a, b] of parts) {
        if (!spots[a]) continue;
        if (b === undefined) d += `M${spots[a]}h.01`;
        else if (spots[b]) d += `M${spots[a]}L${spots[b]}`;
      }
      path.setAttribute("d", d);
    }
  });
  nobody.style.display = anybody[at] ? "none" : "";
  seek.value = at;
  by("where").textContent = `frame ${at} of ${T}, ${(at / D.fps).toFixed(2)} s`;
}
function lanes() {
  const box = by("lanes"), tall = Math.max(1, M) * 5;
  box.setAttribute("viewBox", `0 0 ${T} ${tall}`);
  box.style.height = tall + "px";
  present.forEach((row, m) => {
    const colour = D.colours[D.persons[m] % D.colours.length][1];
    for (let t = 0; t < T;) {
      let end = t;
      while (end < T && row[end] === row[t]) end++;
      if (row[t]) add(box, "rect", {x: t, y: m * 5, width: end - t, height: 3, fill: colour});
      t = end;
    }
  });
}
function toggle(on) {
  playing = on && last > first;
  clock = null;
  play.textContent = playing ? "Pause" : "Play";
  if (playing) requestAnimationFrame(tick);
}
function tick(now) {
  if (!playing) return;
  const each = 1000 / (D.fps * Number(by("speed").value));
  if (clock === null) clock = now;
  const steps = Math.floor((now - clock) / each);
  if (steps > 0) {
    at += steps;
    if (at > last) at = first + (at - first) % (last - first + 1);
    clock += steps * each;
    draw();
  }
  requestAnimationFrame(tick);
}
function step(by) { toggle(false); at = Math.min(T - 1, Math.max(0, at + by)); draw(); }
play.onclick = () => toggle(!playing);
by("back").onclick = () => step(-1);
by("next").onclick = () => step(1);
seek.oninput = () => { const to = Number(seek.value); toggle(false); at = to; draw(); };
by("speed").onchange = () => { clock = null; };
if (turn) turn.oninput = () => { angle = Number(turn.value) * Math.PI / 180; draw(); };
document.addEventListener("keydown", event => {
  const tag = event.target.tagName;
  if (tag === "SELECT" || event.target === turn) return;
  if (event.key === " " && tag !== "BUTTON") { event.preventDefault(); toggle(!playing); }
  if (event.key === "ArrowLeft") { event.preventDefault(); step(-1); }
  if (event.key === "ArrowRight") { event.preventDefault(); step(1); }
});
at = first;
lanes();
draw();
toggle(last > first && !matchMedia("(prefers-reduced-motion: reduce)").matches);
</script>
</html>
"""
