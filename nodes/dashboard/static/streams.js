// Streams: what came of each and what became of it, and how well the clock of its node is known.

import { el } from "/static/dom.js";
import { long } from "/static/format.js";

const HEADS = ["Stream", "Sees", "Last", "Captured", "Delivered", "Waiting", "Dropped", "Unexplained", "Clock"];
const count = (value) => value === null ? "–" : value.toLocaleString();

export function streams(all) {
  return el("table", {}, el("thead", {}, el("tr", {}, HEADS.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, all.map((one) => el("tr", {}, cells(one).map((cell) => el("td", {}, cell))))));
}

function cells(one) {
  const dropped = Object.entries(one.dropped).filter(([, value]) => value).map(([why, value]) => `${value.toLocaleString()} ${why.replaceAll("_", " ")}`);
  return [one.stream, sees(one), one.age_s === null ? "–" : `${long(Math.max(0, one.age_s) * 1000)} ago`, count(one.captured), count(one.delivered), count(one.spooled),
    one.captured === null ? "–" : dropped.join(", ") || "none", unexplained(one), known(one)];
}

function sees(one) {
  if (one.unseen === null) return "–";
  return el("span", { class: `badge ${one.unseen ? "bad" : "good"}` }, one.unseen || "yes");
}

function unexplained(one) {
  return one.unexplained ? el("span", { class: "badge bad" }, count(one.unexplained)) : count(one.unexplained);
}

function known(one) {
  if (one.clock_offset_s === null) return "not known";
  if (one.clock_offset_s === 0 && one.clock_bound_s === 0) return "the same clock";
  const bound = one.clock_bound_s === null ? "" : `, ± ${span(one.clock_bound_s)}`;
  return `${span(one.clock_offset_s)} off${bound}`;
}

function span(s) {
  const size = Math.abs(s);
  if (size < 1e-3) return `${(s * 1e6).toFixed(0)} µs`;
  return size < 1 ? `${(s * 1e3).toFixed(1)} ms` : `${s.toFixed(1)} s`;
}
