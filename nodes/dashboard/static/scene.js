// One scene: live on one axis of time, and looking back.

import * as api from "/static/api.js";
import { budget } from "/static/budget.js";
import { el } from "/static/dom.js";
import { eventRoom } from "/static/eventlist.js";
import { long } from "/static/format.js";
import { follow, holds } from "/static/live.js";
import { Lanes, Scores, Spectrogram, spanOf } from "/static/strips.js";
import { timeline } from "/static/timeline.js";

export async function sceneView(main, name) {
  const [scenes, events] = await Promise.all([api.scenes(), api.events({ scene: name, limit: 10 })]);
  const scene = scenes.find((one) => one.name === name);
  if (!scene) throw new api.Refused(`there is no scene ${name}`);
  const live = liveStrips(scene);
  const listed = eventRoom();
  const heading = el("h2");
  let latest = events;
  let back = null; // events of the time that is looked back to
  const list = () => {
    heading.textContent = back ? "Events of this time" : "Latest events";
    listed.show(back ?? latest);
  };
  const past = timeline(name, (found) => { back = found; list(); });
  main.replaceChildren(
    el("h1", {}, name),
    el("div", { class: "two" }, live.pictures, live.words),
    el("section", { class: "card apart", "aria-label": "live" }, live.strips),
    el("section", { "aria-label": "looking back" }, el("h2", {}, "Looking back"), el("div", { class: "card" }, past.root)),
    el("section", { "aria-label": "events" }, heading, listed.room,
      el("p", {}, el("a", { href: `#/events?scene=${encodeURIComponent(name)}` }, "All events of this scene"))));
  await past.load();
  const stop = follow(name, live.take);
  const drawing = setInterval(live.draw, 250);
  const again = setInterval(async () => {
    latest = await api.events({ scene: name, limit: 10 }).catch(() => latest);
    list();
    Object.assign(scene, (await api.scenes().catch(() => [])).find((one) => one.name === name));
    if (past.following()) past.load().catch(() => {});
  }, 5000);
  return () => { stop(); clearInterval(drawing); clearInterval(again); };
}

function liveStrips(scene) {
  const waiting = el("p", { class: "quiet" }, "Nothing live yet. Pictures and readings come while the deployment runs (fusewatch run).");
  const pictures = el("div", {}, waiting);
  const words = el("section", { class: "card", "aria-live": "off" }, budget(scene));
  const nothing = el("p", { class: "quiet" }, "No sound, no readings, no score yet.");
  const strips = el("div", {}, nothing);
  const shown = new Map();
  const scores = new Scores();
  let latest = null;
  let offset = null; // of the site's time to the browser's

  function strip(kind, stream) {
    if (!shown.has(stream)) {
      shown.set(stream, new kind(stream));
      strips.append(shown.get(stream).root);
    }
    return shown.get(stream);
  }

  function picture(stream) {
    let img = pictures.querySelector(`img[data-stream="${CSS.escape(stream)}"]`);
    if (!img) {
      img = el("img", { class: "picture", alt: `latest picture of ${stream}`, "data-stream": stream });
      pictures.hidden = false;
      pictures.append(img);
    }
    return img;
  }

  return {
    pictures, words, strips,
    take(window_) {
      latest = window_;
      nothing.remove();
      if (waiting.parentNode) { waiting.remove(); pictures.hidden = true; } // until there is one: not all scenes have a camera
      offset = Date.now() - window_.end_ms;
      if (window_.score !== null && !scores.root.parentNode) strips.prepend(scores.root);
      scores.take(window_);
      for (const [stream, sound] of Object.entries(window_.sounds)) strip(Spectrogram, stream).take(window_, sound);
      for (const [stream, readings] of Object.entries(window_.readings)) strip(Lanes, stream).take(window_, readings);
    },
    draw() {
      if (!latest) return;
      const now = Math.min(Date.now() - offset, latest.end_ms + 3000);
      const span = spanOf(latest);
      if (scores.root.parentNode) scores.draw(now, span);
      for (const one of shown.values()) one.draw(now, span);
      for (const stream of latest.pictures) {
        const wanted = api.picture(scene.name, stream, latest.index);
        if (picture(stream).getAttribute("src") !== wanted) picture(stream).src = wanted;
      }
      words.replaceChildren(...said(latest, scene, Date.now() - offset - latest.end_ms));
    },
  };
}

// `age` is for how long nothing came after the window, milliseconds: what was as usual need not be now.
function said(window_, scene, age) {
  if (age > holds(window_)) return [el("p", { class: "row" }, el("span", { class: "badge warn" }, `nothing new for ${long(age)}`)), el("p", { class: "quiet" }, "What you see is from before that."), budget(scene)];
  const over = window_.score !== null && window_.score >= window_.threshold;
  const notes = Object.entries(window_.notes);
  const lines = Object.entries(window_.lines).flatMap(([stream, texts]) => texts.map((text) => `${stream}: ${text}`));
  return [
    el("p", { class: "row" }, window_.score === null ? el("span", { class: "badge" }, "no model")
      : el("span", { class: `badge ${over ? "bad" : "good"}` }, over ? "not normal here" : "as usual here"),
      scene.standing.length ? el("span", { class: "badge bad" }, "alarm") : null),
    window_.missing.length ? el("p", { class: "warning" }, `Cannot see: ${window_.missing.join(", ")}`) : null,
    Object.keys(window_.degraded).length ? el("p", { class: "quiet" }, Object.entries(window_.degraded).map(([s, why]) => `${s} is ${why}`).join(", ")) : null,
    over && notes.length ? el("ul", {}, notes.map(([who, what]) => el("li", {}, `${who}: ${what}`))) : null,
    budget(scene),
    lines.length ? el("pre", { class: "quiet" }, lines.slice(-5).join("\n")) : null,
  ].filter(Boolean);
}
