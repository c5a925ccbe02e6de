// What an answer does: told before it is given, and after.

import * as api from "/static/api.js";
import { el } from "/static/dom.js";
import { span } from "/static/exemptions.js";
import { long, when } from "/static/format.js";

const DAYS = 7;
const SHOWN = 5;

// Asks whether an event is really normal, and says what that would have done; `give` says yes.
export function askNormal(event, give, cancel) {
  const words = el("div", { role: "status" }, el("p", { class: "quiet" }, "Looking at the last days …"));
  api.effect(event.id, "normal").then((found) => words.replaceChildren(...foretold(found)))
    .catch((error) => words.replaceChildren(el("p", { class: "warning" }, `What it would do cannot be told: ${error.message}`)));
  return el("div", { class: "ask", "data-asking": true, role: "group", "aria-label": "is it normal here?" },
    el("h3", {}, "If this is normal here"),
    el("p", {}, "Alarms like this one, and no worse, are no longer sent to anybody. They are still found and listed here."),
    words,
    el("div", { class: "row" }, el("button", { class: "primary", onclick: give }, "Yes, it is normal"), el("button", { onclick: cancel }, "Cancel")));
}

function foretold(found) {
  const rows = found.lost.slice(0, SHOWN);
  const others = found.of === 1 ? "1 other alarm was" : `${found.of} other alarms were`;
  const held = found.lost.length === 0 ? "none of them" : found.lost.length === found.of ? (found.of === 1 ? "it" : "all of them") : `${found.lost.length} of them`;
  const count = found.of === 0 ? `In the last ${DAYS} days no other alarm of this scene was sent.`
    : `In the last ${DAYS} days ${others} sent from this scene; ${held} would have been held back${found.lost.length ? ":" : "."}`;
  return [
    el("p", {}, count), listed(rows),
    found.lost.length > SHOWN ? el("p", { class: "quiet" }, `and ${found.lost.length - SHOWN} more.`) : null,
    el("p", {}, found.gained.length ? `${found.gained.length} held back by an older answer would have been sent.` : "No alarm would have been added: an answer only holds back, it finds nothing new."),
    el("p", { class: "quiet" }, `It holds ${found.until_ms ? `until ${when(found.until_ms)}` : "until it is taken back"}; you can take it back at any time.`),
  ].filter(Boolean);
}

// What has become of an answer, and what taking it back would do.
export function answered(event) {
  if (event.verdict === "normal") return holds(event);
  if (event.verdict === "fault") return equipment(event);
  return null;
}

function holds(event) {
  const words = el("div", { class: "ask", role: "status" }, el("p", {}, "Alarms like this one, and no worse, are no longer sent."));
  Promise.all([api.exemptions(), api.effect(event.id, null)]).then(([scenes, back]) => {
    const one = scenes.flatMap((scene) => scene.exemptions).find((found) => found.event === event.id);
    if (!one) {
      words.replaceChildren(el("p", {}, "This answer holds nothing back any more: its time is over, or newer ones took its place."));
      return;
    }
    words.replaceChildren(
      el("p", {}, `Alarms like this one, and no worse, are not sent ${one.until_ms ? `until ${when(one.until_ms)}` : "until this is taken back"}. Held back ${span(one, "since then")}: ${one.held_back || "none yet"}.`),
      el("p", { class: "quiet" }, `Take it back below and they are sent again: ${back.gained.length || "none"} like it came in the last ${DAYS} days.`));
  }).catch(() => {});
  return words;
}

// A fault of a sensor: what the equipment of the scene has said lately.
function equipment(event) {
  const words = el("div", { class: "ask", role: "status" },
    el("p", {}, "A fault of a sensor: see how the equipment is under ", el("a", { href: "#/health" }, "Health"), "."));
  api.events({ scene: event.scene, since_ms: event.start_ms - 86400000, limit: SHOWN, health: true }).then((told) => {
    words.append(told.length ? el("p", { class: "quiet" }, "It said lately:") : el("p", { class: "quiet" }, "The equipment of this scene has reported nothing wrong in the day before or since."));
    if (told.length) words.append(listed(told));
  }).catch(() => {});
  return words;
}

// Why an event was not sent, or is known.
export function heldBack(event) {
  if (event.like) {
    return el("p", { class: "quiet" }, "Like ", el("a", { href: `#/event/${event.like}` }, "one that is normal here"),
      event.withheld ? ": it was not sent to anybody." : "; that was not said yet when this one was raised, so it was sent.");
  }
  return event.withheld && !event.cause ? el("p", { class: "quiet" }, `It was not sent to anybody: ${event.withheld}.`) : null;
}

function listed(rows) {
  if (!rows.length) return null;
  return el("ul", { class: "list small" }, rows.map((one) => el("li", {},
    el("a", { href: `#/event/${one.id}` }, when(one.start_ms)), ` ${one.health ? "equipment" : one.severity}, ${long(one.end_ms - one.start_ms)}: ${one.summary}`)));
}
