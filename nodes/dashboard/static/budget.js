// What was spent of a scene's budget of false alarms, in words and as a badge.

import { el } from "/static/dom.js";
import { long } from "/static/format.js";

const tone = { "within the budget": "good", "all used up": "warn", "over the budget": "bad" };
const periods = { minute: 60, hour: 3600, day: 86400, week: 604800 };

export function budget(scene) {
  if (!scene.learnt) return el("p", { class: "quiet" }, "Nothing learnt here yet: it is aligned and recorded only.");
  const spent = scene.spent;
  if (!spent) return el("p", { class: "quiet" }, `Budget of false alarms: ${scene.budget}`);
  return el("p", { class: "row budget" }, el("span", { class: "quiet" }, "Budget of false alarms:"),
    el("span", { class: `badge ${tone[spent.standing]}` }, spent.words), el("span", { class: "quiet" }, more(spent)));
}

function more(spent) {
  const said = [];
  if (spent.watched_s < 0.95 * periods[spent.period]) said.push(`watched ${long(spent.watched_s * 1000)} of the last ${spent.period}`);
  if (spent.real) said.push(`${spent.real} more ${spent.real === 1 ? "was" : "were"} real`);
  return said.join("; ");
}
