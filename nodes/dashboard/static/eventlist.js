// Events, one under the other.

import * as api from "/static/api.js";
import { el, renew } from "/static/dom.js";
import { long, when } from "/static/format.js";

const VERDICTS = { real: "real", normal: "normal here", fault: "fault of a sensor" };

export function verdictName(verdict) {
  return VERDICTS[verdict] ?? verdict;
}

export function eventList(events, none = "Nothing happened.") {
  if (!events.length) return el("p", { class: "quiet" }, none);
  return el("ul", { class: "list" }, events.map(item));
}

// A room with events in it; what gives it others, drawn only where they are not the same.
export function eventRoom() {
  const room = el("div");
  let drawn = "";
  const show = (events, none) => {
    const wanted = JSON.stringify([events, none]);
    if (wanted !== drawn) renew(room, eventList(events, none));
    drawn = wanted;
  };
  return { room, show };
}

export function badges(event) {
  const loud = event.severity === "critical" || event.severity === "high";
  return [
    el("span", { class: `badge ${event.phase === "cleared" ? "" : "bad"}` }, event.phase === "cleared" ? "over" : "going on"),
    event.health ? el("span", { class: "badge warn" }, "equipment") : el("span", { class: `badge ${loud ? "bad" : ""}` }, event.severity),
    event.withheld ? el("span", { class: "badge good" }, event.like ? "known here, not sent" : event.cause ? "follows from another, not sent" : "snoozed, not sent") : null,
    event.incident ? el("span", { class: "badge" }, event.scenes.length > 1 ? `in ${event.scenes.length} scenes` : "with others") : null,
    event.verdict ? el("span", { class: "badge good" }, verdictName(event.verdict)) : event.seen ? el("span", { class: "badge" }, "seen") : null,
  ];
}

function item(event) {
  const none = el("div", { class: "none" }, "no picture");
  const shown = event.snapshot
    ? el("img", { src: api.evidence(event.snapshot), alt: "", loading: "lazy", onerror: () => shown.replaceWith(none) }) : none; // no longer kept
  return el("li", {}, el("a", { class: "event", href: `#/event/${event.id}` }, shown, el("div", {},
    el("strong", {}, event.summary),
    el("div", { class: "quiet" }, `${when(event.start_ms)} · ${event.scene} · ${long(event.end_ms - event.start_ms)}`),
    el("div", { class: "row" }, badges(event)))));
}
