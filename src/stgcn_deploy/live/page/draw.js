// Skeletons of cameras that send key points and no images.

// One for each person, by turns, as in all other pictures; mid tones that read on light and on dark.
const COLOURS = ["#528ff2", "#ec6f26", "#2fae63", "#a95feb"];

export function colourOf(track) {
  return COLOURS[((track % COLOURS.length) + COLOURS.length) % COLOURS.length];
}

function isThere(joint) {
  return joint.some((value) => value !== 0);
}

/** The part of the plane that people were seen in so far; it only grows, so that nothing jumps. */
export class Extent {
  constructor() {
    this.low = [Infinity, Infinity];
    this.high = [-Infinity, -Infinity];
  }

  see(people) {
    for (const person of people) {
      for (const joint of person.keypoints.filter(isThere)) {
        for (const axis of [0, 1]) {
          this.low[axis] = Math.min(this.low[axis], joint[axis]);
          this.high[axis] = Math.max(this.high[axis], joint[axis]);
        }
      }
    }
  }

  box() {
    const [wide, high] = [0, 1].map((axis) => Math.max(this.high[axis] - this.low[axis], 1e-6));
    const room = 0.12 * Math.max(wide, high);
    return [this.low[0] - room, this.low[1] - room, wide + 2 * room, high + 2 * room];
  }
}

/** Draw `seen` ({size, people}) into a canvas, as large as it is shown. */
export function draw(canvas, seen, setup, extent) {
  const ratio = window.devicePixelRatio || 1;
  const [wide, high] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, wide, high);
  extent.see(seen.people);
  if (!Number.isFinite(extent.low[0])) return;
  const [left, top, width, height] = seen.size ? [0, 0, ...seen.size] : extent.box();
  const scale = Math.min(wide / width, high / height);
  const [x0, y0] = [(wide - width * scale) / 2, (high - height * scale) / 2];
  const at = ([x, y]) => [
    x0 + (x - left) * scale,
    setup.upwards ? y0 + (top + height - y) * scale : y0 + (y - top) * scale,
  ];
  for (const person of seen.people) drawPerson(context, person, setup.edges, at, high / 110);
}

function drawPerson(context, person, edges, at, width) {
  const points = person.keypoints;
  context.strokeStyle = context.fillStyle = colourOf(person.track);
  context.lineWidth = Math.max(width, 2);
  context.lineCap = "round";
  context.beginPath();
  for (const [a, b] of edges) {
    if (points[a] && points[b] && isThere(points[a]) && isThere(points[b])) {
      context.moveTo(...at(points[a]));
      context.lineTo(...at(points[b]));
    }
  }
  context.stroke();
  for (const joint of points.filter(isThere)) {
    context.beginPath();
    context.arc(...at(joint), Math.max(width * 0.8, 2), 0, 2 * Math.PI);
    context.fill();
  }
}
