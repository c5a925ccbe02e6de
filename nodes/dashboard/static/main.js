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

// A view fills `main` and may give back what is to be done when it is left.
async function show() {
  leave();
  leave = () => {};
  const main = document.getElementById("main");
  const here = location.hash;
  const [, page, view, found] = VIEWS.map((v) => [...v, here.match(v[0])]).find((v) => v[3]) ?? [];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!view) return main.replaceChildren(el("h1", {}, "No such page"), el("a", { href: "#/" }, "To the scenes"));
  main.replaceChildren(el("p", { class: "quiet" }, "Loading …"));
  try {
    const left = await view(main, ...found.slice(1).map((part) => decodeURIComponent(part ?? "")));
    if (location.hash === here) leave = left ?? leave;
    else left?.();
  } catch (error) {
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
    main.replaceChildren(
      el("h1", {}, "That did not work"), el("p", { class: "warning" }, error.message),
      el("button", { onclick: show }, "Try again"));
  }
  const title = main.querySelector("h1")?.textContent;
  document.title = title ? `${title} – fusewatch` : "fusewatch";
}

window.addEventListener("hashchange", () => { show(); document.getElementById("main").focus(); });
show();
