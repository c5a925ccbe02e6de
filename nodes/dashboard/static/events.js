// All events, to search and to filter.

import * as api from "/static/api.js";
import { el } from "/static/dom.js";
import { eventRoom } from "/static/eventlist.js";

const DAY = 86400000;
const MOST = 1000; // the server gives the newest so many
const HEALTH = { alarm: false, health: true };

export async function eventsView(main, query) {
  const given = new URLSearchParams(query ?? "");
  const scenes = await api.scenes();
  const scene = el("select", {}, el("option", { value: "" }, "all scenes"), scenes.map((one) =>
    el("option", { value: one.name, selected: one.name === given.get("scene") }, one.name)));
  const since = el("select", {}, [["1", "last day"], ["7", "last week"], ["31", "last month"], ["", "all"]].map(([value, name]) =>
    el("option", { value, selected: value === (given.get("days") ?? "7") }, name)));
  const kind = el("select", {}, [["", "everything"], ["open", "not answered"], ["alarm", "alarms only"], ["health", "equipment only"]].map(([value, name]) =>
    el("option", { value, selected: value === given.get("kind") }, name)));
  const words = el("input", { type: "search", value: given.get("words") ?? "", placeholder: "words of an event" });
  const list = eventRoom();
  const count = el("p", { class: "quiet", role: "status" });
  let found = [];

  const draw = () => {
    const wanted = words.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (e) => (kind.value !== "open" || !e.seen)
      && (HEALTH[kind.value] === undefined || e.health === HEALTH[kind.value])
      && wanted.every((word) => `${e.summary} ${e.scene} ${e.id}`.toLowerCase().includes(word));
    const fitting = found.filter(fits);
    const all = found.length < MOST;
    const said = `${fitting.length} event${fitting.length === 1 ? "" : "s"}${all ? fitting.length < found.length ? ` of ${found.length}` : "" : ` of the newest ${MOST}; older ones, if any, are not looked at`}`;
    if (count.textContent !== said) count.textContent = said;
    list.show(fitting, found.length ? "No event is like that: choose others above." : "Nothing happened.");
  };
  const load = async () => {
    const since_ms = since.value ? Date.now() - Number(since.value) * DAY : null;
    found = await api.events({ scene: scene.value, since_ms, limit: MOST, health: HEALTH[kind.value] });
    draw();
  };
  const remember = () => {
    const state = new URLSearchParams({ scene: scene.value, days: since.value, kind: kind.value, words: words.value });
    history.replaceState(null, "", `#/events?${state}`);
  };
  scene.onchange = since.onchange = kind.onchange = () => {
    remember();
    draw();
    load().catch((error) => { count.textContent = error.message; });
  };
  words.oninput = () => { remember(); draw(); };
  main.replaceChildren(el("h1", {}, "Events"),
    el("div", { class: "row", role: "search" }, el("label", {}, "Scene ", scene), el("label", {}, "Since ", since),
      el("label", {}, "Show ", kind), el("label", {}, "Search ", words)), count, list.room);
  await load();
  const again = setInterval(() => load().catch(() => {}), 5000);
  return () => clearInterval(again);
}
