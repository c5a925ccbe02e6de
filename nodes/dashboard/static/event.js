// One event: what happened, when, why it was raised, and what it was.

import * as api from "/static/api.js";
import { moments, normalPicture } from "/static/compare.js";
import { el, renew } from "/static/dom.js";
import { badges, verdictName } from "/static/eventlist.js";
import { answered, askNormal, heldBack } from "/static/effect.js";
import { soundPicture } from "/static/sound.js";
import { hertz, long, number, rarity, when } from "/static/format.js";

const VERDICTS = ["real", "normal", "fault"];
// What of a channel was unusual, over one moment (a window).
const OF_CHANNEL = { value: "reading", dip: "lowest below its mean", peak: "highest above its mean", slope: "change from begin to end", noise: "noise", "largest step": "largest jump" };
const BEING_MADE_MS = 60000; // longest until what comes after it is there too
const FILES = { snapshot: "picture", explained: "picture with the box", channels: "channels", recording: "recording of all streams" };

export async function eventView(main, id) {
  let shown = "";
  const show = (event) => {
    shown = JSON.stringify(event);
    renew(main, ...page(event, show));
  };
  show(await api.event(id));
  const again = setInterval(async () => {
    const busy = main.querySelector("[data-asking]") || main.querySelector("textarea")?.value || main.contains(document.activeElement) && ["TEXTAREA", "VIDEO", "AUDIO"].includes(document.activeElement.tagName);
    if (busy || !main.querySelector("[data-going-on]")) return;
    const event = await api.event(id).catch(() => null);
    if (event && JSON.stringify(event) !== shown) show(event);
  }, 3000);
  return () => clearInterval(again);
}

function page(event, show) {
  return [
    el("h1", {}, event.health ? "Equipment" : "Event", ` in ${event.scene}`),
    el("p", { class: "sentence" }, event.summary), ...before(event),
    el("p", { class: "row", "data-going-on": event.phase !== "cleared" || !event.evidence.clip }, badges(event),
      el("span", { class: "quiet" }, `began ${when(event.start_ms)}, ${event.phase === "cleared" ? "lasted" : "so far"} ${long(event.end_ms - event.start_ms)}`)),
    ...(event.cause ? [cause(event)] : []),
    el("div", { class: "two" }, evidence(event), el("div", { class: "stack" }, answers(event, show), why(event), moments(event))),
    ...(event.together.length ? [together(event)] : []),
    details(event),
    el("p", {}, el("a", { href: `#/scene/${encodeURIComponent(event.scene)}` }, `To the scene ${event.scene}`)),
  ];
}

// What was wrong with the equipment, though by now something else is said of it.
function before(event) {
  const said = [...new Set(event.phases.map((phase) => phase.summary))].filter((one) => one !== event.summary);
  return event.health && said.length ? [el("p", {}, `Before that: ${said.join(" ")}`)] : [];
}

// What it follows from, for which it was not sent.
function cause(event) {
  return el("p", { class: "quiet" }, `It was not sent, as ${event.withheld.split(", see ")[0]}: `, el("a", { href: `#/event/${event.cause}` }, "what was told of that"), ".");
}

// Other events with, as far as times tell, the same cause.
function together(event) {
  return el("section", { class: "card apart", "aria-label": "at the same time" }, el("h2", {}, "At the same time"),
    el("ul", { class: "list" }, event.together.map((one) => el("li", {},
      el("a", { href: `#/event/${one.id}` }, one.summary), el("span", { class: "quiet" }, ` ${one.scene} · ${one.phase === "cleared" ? "over" : "going on"}`)))));
}

function evidence(event) {
  const shown = event.evidence;
  const parts = [];
  if (shown.explained || shown.snapshot) {
    parts.push(pictured(shown.explained || shown.snapshot, shown.explained ? "picture with a box around what is unusual" : "picture when it was raised", shown.explained ? "What is unusual is in the red box." : "The picture when it was raised."));
  }
  parts.push(...[normalPicture(event)].filter(Boolean));
  if (shown.clip) parts.push(el("h2", {}, "Clip"), el("video", { src: api.evidence(shown.clip), controls: true, preload: "metadata", "aria-label": "clip with sound" }));
  else if (shown.sound) parts.push(el("h2", {}, "Sound"), el("audio", { src: api.evidence(shown.sound), controls: true, preload: "metadata", "aria-label": "sound" }));
  if (event.evidence_note) parts.push(el("p", {}, event.evidence_note));
  if (shown.spectrogram) parts.push(el("h2", {}, "What was heard"), pictured(shown.spectrogram, "spectrogram of the sound, the unusual part framed", "Pitch over time; what is unusual is in the white frame."));
  else if (shown.sound) parts.push(el("h2", {}, "What was heard"), soundPicture(api.evidence(shown.sound)));
  if (event.phase !== "cleared") parts.push(el("p", { class: "quiet" }, "The clip comes when it is over."));
  else if (parts.length && !shown.recording && Date.now() - event.end_ms < BEING_MADE_MS) parts.push(el("p", { class: "quiet" }, "The clip, the sound and the recording are being made."));
  if (!parts.length) parts.push(el("p", { class: "quiet" }, "There are no pictures or sounds of it."));
  if (shown.channels) parts.push(el("h2", {}, "What was measured"), pictured(shown.channels, "course of the unusual channels, expected against seen", "In the shaded seconds it is unusual; at the right what is expected beside what was seen."));
  const files = Object.entries(shown);
  if (files.length) {
    parts.push(el("p", { class: "row" }, el("a", { class: "button", href: api.bundle(event.id), download: `${event.id}.zip` }, "Download all"), el("span", { class: "quiet" }, "or only:"), files.map(([name, path]) =>
      el("a", { href: api.evidence(path), download: `${event.id}-${path.split("/").pop()}` }, FILES[name] ?? name))));
  }
  return el("section", { class: "card", "aria-label": "evidence" }, parts);
}

// A picture of the evidence with what it shows; a click opens it alone, in its own size.
function pictured(path, alt, words) {
  const made = el("figure", {}, el("a", { href: api.evidence(path), target: "_blank", rel: "noopener" }, el("img", { src: api.evidence(path), alt })), el("figcaption", { class: "quiet" }, words));
  made.querySelector("img").addEventListener("error", () => made.remove()); // not drawn yet, or no longer kept
  return made;
}

function answers(event, show) {
  const note = el("textarea", { maxlength: 2000, "aria-label": "Note" });
  const failed = el("p", { class: "warning", role: "alert" });
  const give = (given) => async () => {
    try {
      show(await api.answer(event.id, { note: note.value, ...given }));
      document.querySelector("[aria-label='your answer'] [aria-pressed='true']")?.focus({ preventScroll: true });
    } catch (error) {
      failed.textContent = `Not kept: ${error.message}`;
    }
  };
  const back = (answer) => async () => {
    try {
      await api.withdraw(answer.position);
      show(await api.event(event.id));
      document.querySelector("[aria-label='your answer'] button")?.focus({ preventScroll: true });
    } catch (error) {
      failed.textContent = `Not taken back: ${error.message}`;
    }
  };
  const asking = el("div");
  const cancel = () => { asking.replaceChildren(); buttons[VERDICTS.indexOf("normal")].focus(); };
  const ask = () => asking.replaceChildren(askNormal(event, give({ action: "verdict", value: "normal" }), cancel));
  const verdict = (value) => el("button", { "aria-pressed": String(event.verdict === value),
    onclick: value === "normal" && event.verdict !== "normal" && !event.health ? ask : give({ action: "verdict", value }) }, capital(verdictName(value)));
  const buttons = VERDICTS.map(verdict);
  return el("section", { class: "card", "aria-label": "your answer" },
    el("h2", {}, "What was it?"),
    el("div", { class: "row" }, buttons,
      event.seen ? null : el("button", { onclick: give({ action: "seen" }) }, "Just seen")),
    event.verdict || event.health ? null : el("p", { class: "quiet" }, "Real: worth an alarm, also next time. Normal here: the same need not be told again. Fault of a sensor: it saw or heard wrongly."),
    event.health ? null : asking, event.health ? null : answered(event), heldBack(event),
    el("p", { class: "quiet" }, "Quiet for a while: send nothing of this scene, unless it is more severe, for"),
    el("div", { class: "row" }, [[60, "1 hour"], [480, "8 hours"], [1440, "1 day"]].map(([minutes, name]) => el("button", { onclick: give({ action: "snooze", minutes }) }, name))),
    el("label", {}, "Note", note),
    el("button", { onclick: give({ action: "note" }) }, "Keep the note"), failed,
    el("ul", { class: "list" }, event.answers.map((answer) => el("li", { class: "row spread" },
      el("span", {}, `${answer.who}, ${when(answer.at_ms)}: ${said(answer)}${answer.note ? ` – ${answer.note}` : ""}`),
      el("button", { class: "plain", onclick: back(answer) }, "Take back")))));
}

const said = (answer) => answer.action === "verdict" ? verdictName(answer.value)
  : answer.action === "snooze" ? `nothing more until ${when(answer.value / 1e6)}` : answer.action;

function why(event) {
  const explained = event.explanation;
  if (!explained) return null;
  const parts = Object.entries(explained.contributions ?? {}).sort((a, b) => b[1] - a[1]);
  const most = Math.max(0.1, ...parts.map(([, value]) => Math.abs(value)));
  return el("section", { class: "card", "aria-label": "why" },
    el("h2", {}, "Why"),
    el("p", {}, explained.kind === "between" ? apart(explained) : `It shows in ${parts[0]?.[0] ?? "one stream"}; what the others add is below.`),
    el("table", {}, el("thead", {}, el("tr", {}, ["Stream", "Adds to the score", ""].map((t) => el("th", { scope: "col" }, t)))),
      el("tbody", {}, parts.map(([stream, value]) => el("tr", {}, el("td", {}, stream), el("td", {}, (Math.round(value * 10) / 10 + 0).toFixed(1)), el("td", { class: "middle" }, bar(value / most)))))),
    bands(explained.bands ?? []), channels(explained.channels ?? []));
}

// Streams that contradict each other, whether or not one is unusual by itself as well.
function apart(explained) {
  const pair = (explained.pair ?? []).join(" and ");
  const alone = explained.bands?.length || explained.channels?.some((channel) => !channel.given?.length);
  return alone ? `They do not belong together: ${pair}. Some of it is unusual by itself as well.` : `Each is as usual by itself, but they do not belong together: ${pair}.`;
}

function bands(found) {
  if (!found.length) return null;
  return el("p", {}, found.map((b) => `${b.stream}: ${Math.round(b.seen_db)} dB from ${hertz(b.low_hz)} to ${hertz(b.high_hz)}, for ${(b.to_s - b.from_s).toFixed(1)} s, where ${Math.round(b.low_db)} to ${Math.round(b.high_db)} dB is usual.`).join(" "));
}

function channels(found) {
  if (!found.length) return null;
  return el("div", { class: "wide apart", tabindex: 0, role: "region", "aria-label": "channels" }, el("table", {}, el("thead", {}, el("tr", {}, ["Channel", "What", "Seen", "Expected", "Judged by"].map((t) => el("th", { scope: "col" }, t)))),
    el("tbody", {}, found.map((c) => el("tr", {}, [c.name, OF_CHANNEL[c.what] ?? c.what, number(c.seen), `${number(c.low)} to ${number(c.high)}`, (c.given ?? []).join(", ") || "its own normal"].map((t) => el("td", {}, t)))))));
}

function details(event) {
  const ledger = Object.entries(event.ledger ?? {});
  return el("details", { class: "card apart" }, el("summary", {}, "Details"),
    el("dl", {},
      el("dt", {}, "Id"), el("dd", {}, event.id),
      el("dt", {}, "Phases"), el("dd", {}, event.phases.map((p) => `${p.phase} (${p.severity}, ${when(p.end_ms)})`).join(", ")),
      el("dt", {}, "Detectors"), el("dd", {}, Object.entries(event.modalities).map(([n, m]) => `${n}: ${rarity(m.p)}`).join(", ") || "–"),
      el("dt", {}, "Enough by themselves, at any time"), el("dd", {}, Object.entries(event.heard).map(([n, h]) => `${n}: ${h.note || "unusual"}, ${rarity(10 ** -h.score)}`).join("; ") || "–"),
      el("dt", {}, "Not seen"), el("dd", {}, [...event.incomplete, ...Object.entries(event.degraded).map(([s, w]) => `${s} (${w})`)].join(", ") || "everything was there"),
      el("dt", {}, "Clocks agree within"), el("dd", {}, `${event.clock_uncertainty_ms.toFixed(3)} ms`),
      el("dt", {}, "Samples"), el("dd", {}, ledger.map(([s, a]) => `${s}: ${a.delivered} of ${a.captured} delivered${Object.keys(a.dropped).length ? `, dropped ${JSON.stringify(a.dropped)}` : ""}`).join("; ") || "–")));
}

const bar = (share) => el("div", { class: "bar" }, (() => { const inner = el("span"); inner.style.width = `${Math.max(0, share) * 100}%`; return inner; })());
const capital = (text) => text[0].toUpperCase() + text.slice(1);
