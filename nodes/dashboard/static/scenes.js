// All scenes at a glance.

import * as api from "/static/api.js";
import { budget } from "/static/budget.js";
import { el } from "/static/dom.js";
import { eventRoom } from "/static/eventlist.js";
import { long } from "/static/format.js";
import { follow, holds } from "/static/live.js";

const LATEST = 5;

export async function scenesView(main) {
  const latest = eventRoom();
  const list = async () => latest.show(await api.events({ limit: LATEST }));
  const [scenes] = await Promise.all([api.scenes(), list()]);
  const cards = new Map(scenes.map((scene) => [scene.name, card(scene)]));
  main.replaceChildren(el("h1", {}, "Scenes"), el("div", { class: scenes.length > 1 ? "" : "two" }, el("div", { class: "grid" }, [...cards.values()].map((c) => c.root)),
    el("section", { "aria-label": "latest events" }, el("h2", {}, "Latest events"), latest.room,
      el("p", {}, el("a", { href: "#/events" }, "All events")))));
  const stop = follow(null, (window_) => cards.get(window_.scene)?.take(window_));
  const again = setInterval(async () => {
    cards.forEach((one) => one.age());
    list().catch(() => {});
    for (const scene of await api.scenes().catch(() => [])) cards.get(scene.name)?.look(scene);
  }, 4000);
  return () => { stop(); clearInterval(again); };
}

function card(scene) {
  const picture = el("img", { class: "picture", alt: `latest picture of ${scene.name}`, hidden: true });
  picture.addEventListener("error", () => { picture.hidden = true; }); // it is not there any more
  const state = el("span", { class: "badge" }, "no window yet");
  const alarms = el("span", { class: "badge" });
  const note = el("p", { class: "quiet", hidden: true });
  const spent = el("div");
  const root = el("section", { class: "card", "aria-label": scene.name },
    el("div", { class: "row spread" }, el("h2", {}, el("a", { href: `#/scene/${encodeURIComponent(scene.name)}` }, scene.name)), alarms),
    picture, el("p", { class: "row" }, state), note, spent);
  let came = null, until = null; // when the last window did, and until when it tells how it is
  const made = {
    root,
    look(now) {
      const ids = now.standing;
      spent.replaceChildren(budget(now));
      alarms.textContent = ids.length ? `${ids.length} going on` : "no alarm";
      alarms.className = `badge ${ids.length ? "bad" : "good"}`;
    },
    age() {
      if (came === null || Date.now() < until) return;
      state.textContent = `nothing new for ${long(Date.now() - came)}`;
      state.className = "badge warn";
    },
    take(window_) {
      came = Date.now();
      until = came + holds(window_);
      const [stream] = window_.pictures;
      if (stream) { picture.src = api.picture(scene.name, stream, window_.index); picture.hidden = false; }
      const over = window_.score !== null && window_.threshold !== null && window_.score >= window_.threshold;
      state.textContent = window_.score === null ? `live, ${long(Date.now() - window_.end_ms)} ago`
        : `${over ? "not normal" : "as usual"}: score ${window_.score.toFixed(1)}, alarm from ${window_.threshold.toFixed(1)}`;
      state.className = `badge ${over ? "bad" : window_.missing.length ? "warn" : "good"}`;
      note.textContent = `Cannot see: ${window_.missing.join(", ")}`;
      note.hidden = !window_.missing.length;
    },
  };
  made.look(scene);
  return made;
}
