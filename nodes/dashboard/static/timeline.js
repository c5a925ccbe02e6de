// Looking back: the worst of each minute over hours or days, with events on it.

import uPlot from "/static/vendor/uPlot.esm.js";
import * as api from "/static/api.js";
import { axis, fit, timeAxis } from "/static/axes.js";
import { colour, el } from "/static/dom.js";
import { when } from "/static/format.js";

const HOUR = 3600000;
const SPANS = [["1 hour", HOUR], ["6 hours", 6 * HOUR], ["1 day", 24 * HOUR], ["1 week", 168 * HOUR]];

// `tell` gets the events of the time that is shown, or null when that is now.
export function timeline(scene, tell) {
  let span = SPANS[1][1];
  let end = null; // null: now
  let events = [];
  let first = true; // what began within the hour is looked at in its own hour
  let plot = null;
  const chart = el("div");
  const list = el("p", { class: "quiet", role: "status" });
  const buttons = SPANS.map(([name, ms]) => el("button", { onclick: () => { span = ms; load(); }, "aria-pressed": "false" }, name));
  const now = el("button", { onclick: () => { end = null; load(); } }, "Now");
  const root = el("div", {},
    el("div", { class: "row" },
      el("button", { onclick: () => move(-1), "aria-label": "Earlier" }, "◀"),
      el("button", { onclick: () => move(1), "aria-label": "Later" }, "▶"), now, buttons),
    chart, list);

  function move(by) {
    end = Math.min(Date.now(), (end ?? Date.now()) + by * span * 0.5);
    load();
  }

  new ResizeObserver(() => fit(plot, chart)).observe(chart);

  async function load() {
    const to = end ?? Date.now();
    const [past, found] = await Promise.all([
      api.history(scene, to - span, to, 600), api.events({ scene, since_ms: to - span, until_ms: to, limit: 500 })]);
    const within = (ms) => ms > to - HOUR;
    const young = first && past.minutes.length && past.minutes.every((m) => within(m.at_ms)) && found.every((e) => within(e.start_ms));
    first = false;
    if (young) { span = HOUR; return load(); }
    events = found;
    tell(end === null ? null : found);
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(SPANS[i][1] === span)));
    list.textContent = `${when(to - span)} to ${when(to)}: ${found.length} event${found.length === 1 ? "" : "s"}. A click on a mark opens it; they are listed below.`;
    draw(past, to);
  }

  function draw(past, to) {
    const rows = gaps(past.minutes, past.step_ms);
    const data = [rows.map((m) => (m.at_ms + past.step_ms / 2) / 1000), rows.map((m) => m.score)];
    plot?.destroy();
    plot = new uPlot({
      width: chart.clientWidth || 600, height: 150, padding: [8, 8, 0, 0], legend: { show: false }, cursor: { drag: { x: false } },
      scales: { x: { min: (to - span) / 1000, max: to / 1000 }, y: { range: (_, low, high) => [0, Math.max(4, high ?? 0, past.threshold ?? 0) * 1.1] } },
      axes: [timeAxis(), axis({ size: 52 })],
      series: [{}, { label: "worst score", stroke: () => colour("accent"), fill: () => `${colour("accent")}33`, points: { show: false } }],
      hooks: { draw: [(u) => marks(u, past.threshold)], ready: [(u) => u.over.addEventListener("click", () => open(u))] },
    }, data, chart);
  }

  function marks(u, threshold) {
    const pen = u.ctx;
    pen.save();
    if (threshold !== null) {
      const y = u.valToPos(threshold, "y", true);
      pen.strokeStyle = colour("bad");
      pen.setLineDash([6, 4]);
      pen.beginPath(); pen.moveTo(u.bbox.left, y); pen.lineTo(u.bbox.left + u.bbox.width, y); pen.stroke();
      pen.setLineDash([]);
    }
    for (const event of events) {
      const x = u.valToPos(event.start_ms / 1000, "x", true);
      const wide = Math.max(4, u.valToPos(event.end_ms / 1000, "x", true) - x);
      pen.fillStyle = colour(event.health ? "warn" : "bad");
      pen.fillRect(Math.max(x, u.bbox.left), u.bbox.top, wide, 10);
    }
    pen.restore();
  }

  function open(u) {
    const at = u.posToVal(u.cursor.left, "x") * 1000;
    const near = span / 60;
    const found = events.filter((e) => at > e.start_ms - near && at < e.end_ms + near)
      .sort((a, b) => Math.abs(a.start_ms - at) - Math.abs(b.start_ms - at))[0];
    if (found) location.hash = `#/event/${found.id}`;
  }

  return { root, load, following: () => end === null };
}

// Nothing is drawn where nothing was scored.
function gaps(minutes, step) {
  const rows = [];
  for (const minute of minutes) {
    const last = rows[rows.length - 1];
    if (last && minute.at_ms - last.at_ms > step) rows.push({ at_ms: last.at_ms + step, score: null });
    rows.push(minute);
  }
  return rows;
}
