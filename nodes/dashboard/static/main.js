// One page, several views: what stands after # in the address says which.

import { Refused } from "/static/api.js";
import { el } from "/static/dom.js";
import { scenesView } from "/static/scenes.js";
import { sceneView } from "/static/scene.js";
import { eventsView } from "/static/events.js";
import { eventView } from "/static/event.js";
import { healthView } from "/static/health.js";

const VIEWS = [
  [/^#?\/?$/, "scenes", scenesView],
  [/^#\/scene\/([^/?]+)$/, "scenes", sceneView],
  [/^#\/events(?:\?(.*))?$/, "events", eventsView],
  [/^#\/event\/([^/?]+)$/, "events", eventView],
  [/^#\/health$/, "health", healthView],
];

let leave = () => {};
let room = null; // what the view of now fills; a view that comes too late fills one that nobody sees

// A view fills its room and may give back what is to be done when it is left.
async function show() {
  leave();
  leave = () => {};
  const mine = room = el("div");
  document.getElementById("main").replaceChildren(mine);
  const here = location.hash;
  const [, page, view, found] = VIEWS.map((v) => [...v, here.match(v[0])]).find((v) => v[3]) ?? [];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!view) return mine.replaceChildren(el("h1", {}, "No such page"), el("a", { href: "#/" }, "To the scenes"));
  mine.append(el("p", { class: "quiet" }, "Loading …"));
  try {
    const left = await view(mine, ...found.slice(1).map((part) => decodeURIComponent(part ?? "")));
    if (room === mine) leave = left ?? leave;
    else left?.();
  } catch (error) {
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
    mine.replaceChildren(
      el("h1", {}, "That did not work"), el("p", { class: "warning" }, error.message),
      el("button", { onclick: show }, "Try again"));
  }
  if (room !== mine) return;
  const title = mine.querySelector("h1")?.textContent;
  document.title = title ? `${title} – fusewatch` : "fusewatch";
}

window.addEventListener("hashchange", () => { show(); document.getElementById("main").focus(); });
show();
