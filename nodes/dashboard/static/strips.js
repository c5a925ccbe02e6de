// What the sensors of a scene showed of late, on one axis of time.

import uPlot from "/static/vendor/uPlot.esm.js";
import { axis, fit, timeAxis } from "/static/axes.js";
import { colour, el } from "/static/dom.js";
import { hertz, number } from "/static/format.js";

const SPAN_MS = 120000, FEWEST = 60;
const LEFT = 52;
const RIGHT = 8;
const LANE = 30;
const LOUD_DB = -20;
const QUIET_DB = -100;
export const PALETTE = ["#0b7285", "#c2410c", "#7048e8", "#2f7d32", "#b02a6b", "#8a6d00", "#1f6feb", "#6b7280"];
const HEAT = [[13, 8, 50], [84, 15, 109], [187, 55, 84], [249, 142, 9], [252, 255, 164]];

// How much of the past is shown, milliseconds: some minutes, or so many windows where they are rare.
export const spanOf = (window_) => Math.max(SPAN_MS, FEWEST * window_.hop_ms);

export function heat(level) {
  const at = Math.min(0.9999, Math.max(0, level)) * (HEAT.length - 1);
  const low = HEAT[Math.floor(at)], high = HEAT[Math.floor(at) + 1];
  return low.map((value, i) => value + (high[i] - value) * (at % 1));
}

function sharp(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return [pen, width];
}

// A sound: bands from low to high over time.
export class Spectrogram {
  constructor(name) {
    this.canvas = el("canvas", { role: "img", "aria-label": `spectrogram of ${name}` });
    this.title = el("h3", {}, name);
    this.root = el("div", { class: "strip" }, this.title, el("div", { class: "shifted" }, this.canvas));
    this.columns = [];
  }

  take(window_, sound) {
    const step = window_.hop_ms / sound.columns.length;
    sound.columns.forEach((levels, i) => {
      this.columns.push({ at: window_.end_ms - window_.hop_ms + i * step, step, levels });
    });
    this.title.textContent = `${this.canvas.getAttribute("aria-label").slice(15)} · ${hertz(sound.low_hz)} to ${hertz(sound.high_hz)}`;
  }

  draw(now, span) {
    this.columns = this.columns.filter((column) => column.at > now - span);
    const height = 110;
    const [pen, width] = sharp(this.canvas, height);
    pen.fillStyle = colour("back"); // nothing heard is not silence
    pen.fillRect(0, 0, width, height);
    for (const { at, step, levels } of this.columns) {
      const x = ((at - now + span) / span) * width;
      const wide = (step / span) * width + 0.6;
      const tall = height / levels.length;
      levels.forEach((db, band) => {
        pen.fillStyle = `rgb(${heat((db - QUIET_DB) / (LOUD_DB - QUIET_DB))})`;
        pen.fillRect(x, height - (band + 1) * tall, wide, tall + 0.6);
      });
    }
  }
}

// A sensor: a lane per channel, each in its own range.
export class Lanes {
  constructor(name) {
    this.canvas = el("canvas", { role: "img", "aria-label": `readings of ${name}` });
    this.root = el("div", { class: "strip" }, el("h3", {}, name), this.canvas);
    this.readings = [];
    this.channels = [];
    this.units = [];
  }

  take(window_, readings) {
    this.channels = readings.channels;
    this.units = readings.units;
    readings.times_ms.forEach((at, i) => {
      if (!this.readings.length || at > this.readings[this.readings.length - 1].at) {
        this.readings.push({ at, values: readings.values.map((row) => row[i]) });
      }
    });
  }

  draw(now, span) {
    this.readings = this.readings.filter((one) => one.at > now - span);
    const [pen, width] = sharp(this.canvas, LANE * Math.max(1, this.channels.length));
    const inner = width - LEFT - RIGHT;
    pen.font = "11px system-ui, sans-serif";
    this.channels.forEach((name, channel) => this.lane(pen, inner, now, span, name, channel));
  }

  lane(pen, inner, now, span, name, channel) {
    const top = channel * LANE;
    const known = this.readings.map((one) => one.values[channel]).filter((value) => value !== null);
    const low = Math.min(...known), high = Math.max(...known);
    const range = high - low || Math.abs(high) || 1;
    pen.strokeStyle = colour("line");
    pen.strokeRect(LEFT, top + 0.5, inner, LANE - 1);
    pen.beginPath();
    let open = false;
    for (const { at, values } of this.readings) {
      const value = values[channel];
      if (value === null) { open = false; continue; }
      const x = LEFT + ((at - now + span) / span) * inner;
      const y = top + LANE - 4 - ((value - low) / range) * (LANE - 8);
      if (open) pen.lineTo(x, y); else pen.moveTo(x, y);
      open = true;
    }
    pen.strokeStyle = PALETTE[channel % PALETTE.length];
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.lineWidth = 1;
    pen.fillStyle = colour("quiet");
    pen.textAlign = "right";
    pen.fillText(known.length ? number(known[known.length - 1]) : "–", LEFT - 4, top + LANE / 2 + 4, LEFT - 6);
    pen.textAlign = "left";
    const label = `${name}${this.units[channel] ? ` (${this.units[channel]})` : ""}`;
    pen.fillStyle = colour("card");
    pen.globalAlpha = 0.8; // the line stays to be seen behind it
    pen.fillRect(LEFT + 3, top + 2, pen.measureText(label).width + 6, 13);
    pen.globalAlpha = 1;
    pen.fillStyle = colour("text");
    pen.fillText(label, LEFT + 6, top + 12);
  }
}

// The score with its threshold, and what each detector says.
export class Scores {
  constructor(tall = 180) {
    this.root = el("div", { class: "strip" }, el("h3", {}, "How unusual (0: as always; each step up is ten times rarer)"));
    this.windows = [];
    this.names = [];
    this.tall = tall;
  }

  take(window_) {
    if (window_.score === null) return;
    this.windows.push(window_);
    for (const name of Object.keys(window_.detectors)) {
      if (!this.names.includes(name)) { this.names.push(name); this.plot?.destroy(); this.plot = null; }
    }
  }

  draw(now, span) {
    this.windows = this.windows.filter((one) => one.end_ms > now - span);
    this.plot ??= this.make();
    fit(this.plot, this.root);
    const rows = this.windows;
    this.plot.setData([
      rows.map((one) => one.end_ms / 1000),
      rows.map((one) => one.score),
      rows.map((one) => one.threshold),
      ...this.names.map((name) => rows.map((one) => one.detectors[name] ?? null)),
    ], false);
    const top = Math.max(4, ...rows.map((one) => Math.max(one.score, one.threshold ?? 0))) * 1.1;
    this.plot.batch(() => {
      this.plot.setScale("x", { min: (now - span) / 1000, max: now / 1000 });
      this.plot.setScale("y", { min: 0, max: top });
    });
  }

  make() {
    return new uPlot({
      width: this.root.clientWidth || 600, height: this.tall, padding: [8, RIGHT, 0, 0], legend: { live: false }, cursor: { drag: { x: false } },
      scales: { x: { auto: false }, y: { auto: false } },
      axes: [timeAxis(), axis({ size: LEFT })],
      series: [
        {},
        { label: "all together", stroke: () => colour("text"), width: 2.5 },
        { label: "alarm from here", stroke: () => colour("bad"), width: 1.5, dash: [6, 4] },
        ...this.names.map((label, i) => ({ label, stroke: PALETTE[i % PALETTE.length], width: 1 })),
      ],
    }, [[], [], [], ...this.names.map(() => [])], this.root);
  }
}
