// Moments of the normal that was learnt, to compare an event with.

import * as api from "/static/api.js";
import { el } from "/static/dom.js";
import { number, when } from "/static/format.js";

const begun = (moment) => Math.floor(moment.at_ns / 1e6);

// The nearest normal picture of the camera that is shown, for beside it; null without one.
export function normalPicture(event) {
  const [nearest] = event.explanation?.nearest ?? [];
  if (!nearest?.pictures?.length) return null;
  const shown = (event.explanation.boxes ?? []).map((box) => box.stream).find((stream) => nearest.pictures.includes(stream)) ?? nearest.pictures[0];
  const made = el("figure", {}, el("img", { class: "normal", src: api.normal(event.scene, shown, begun(nearest)), alt: `${shown} at a normal moment, for comparison` }),
    el("figcaption", { class: "quiet" }, `Normal, for comparison: ${when(begun(nearest))}`));
  made.querySelector("img").addEventListener("error", () => made.remove()); // the model was replaced since
  return made;
}

export function moments(event) {
  const [nearest, ...others] = event.explanation?.nearest ?? [];
  if (!nearest) return null;
  const times = (apart) => `${apart >= 10 ? Math.round(apart) : apart.toFixed(1)} times as far apart as normal moments usually are`;
  return el("section", { class: "card", "aria-label": "compared with normal" },
    el("h2", {}, "Compared with normal"),
    el("p", {}, `Most like ${when(begun(nearest))} of the normal it learnt from. `, el("strong", {}, nearest.differs), ` differs most: ${times(nearest.streams[nearest.differs])}.`),
    others.length ? el("p", { class: "quiet" }, `Then like ${others.map((one) => when(begun(one))).join(" and ")}.`) : null,
    levels(nearest.levels ?? []));
}

// A reading in its own unit, or how loud a band of sound is.
const level = (one, value) => `${number(value)}${one.name.endsWith("Hz") ? " dB" : ""}`;

function levels(found) {
  if (!found.length) return null;
  return el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "then and now" }, el("table", {},
    el("thead", {}, el("tr", {}, ["Stream", "What", "Then, on average", "Now, on average"].map((t) => el("th", { scope: "col" }, t)))),
    el("tbody", {}, found.map((one) => el("tr", {}, [one.stream, one.name, level(one, one.then), level(one, one.now)].map((t) => el("td", {}, t)))))));
}
