// What was said to be normal, how long it holds, and what it held back.

import * as api from "/static/api.js";
import { el } from "/static/dom.js";
import { when } from "/static/format.js";

const WEEK_MS = 7 * 86400000; // what is held back is counted over it

// Over what time is counted what an answer held back: all of its own, or the last week.
export const span = (one, whole) => Date.now() - one.at_ms < WEEK_MS ? whole : "in the last 7 days";

export function exemptions(scenes, changed) {
  if (!scenes.length) return el("p", { class: "quiet" }, "Nothing was said to be normal: every alarm is sent.");
  return el("div", { class: "stack" }, scenes.map((scene) => el("section", { class: "card", "aria-label": `held back in ${scene.scene}` },
    el("div", { class: "row spread" }, el("strong", {}, scene.scene),
      el("span", { class: `badge ${scene.most ? "warn" : ""}` }, `${scene.held_back} of ${scene.raised} alarms held back, last week`)),
    scene.most ? el("p", { class: "warning" }, "Answers hold back most alarms of this scene. Let it learn anew what is normal: fusewatch commission.") : null,
    el("ul", { class: "list" }, scene.exemptions.map((one) => item(one, changed))))));
}

function item(one, changed) {
  const failed = el("span", { class: "warning", role: "alert" });
  const back = () => api.withdraw(one.position).then(changed).catch((error) => { failed.textContent = `Not taken back: ${error.message}`; });
  return el("li", { class: "row spread" },
    el("span", {}, el("a", { href: `#/event/${one.event}` }, one.summary), el("span", { class: "quiet" },
      ` Said by ${one.who}, ${when(one.at_ms)}${one.note ? ` (${one.note})` : ""}. Holds until ${one.until_ms ? when(one.until_ms) : "it is taken back"}. Held back ${span(one, "so far")}: ${one.held_back || "none"}. `), failed),
    el("button", { class: "plain", onclick: back, "aria-label": `Take back: ${one.summary}` }, "Take back"));
}
