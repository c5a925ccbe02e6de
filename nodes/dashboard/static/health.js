// How the equipment is: processes, streams with their ledger and clocks, alarms beside the budget.

import * as api from "/static/api.js";
import { budget } from "/static/budget.js";
import { el, renew } from "/static/dom.js";
import { eventRoom } from "/static/eventlist.js";
import { exemptions } from "/static/exemptions.js";
import { when } from "/static/format.js";
import { streams } from "/static/streams.js";

const MOST = 500; // events of the equipment, the newest

export async function healthView(main) {
  const told = eventRoom();
  const books = el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "streams" });
  const processes = el("div", { class: "grid" }), owners = el("div"), spent = el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "alarms beside the budget" }), normal = el("div"), more = el("div");
  const load = async () => {
    const [nodes, fused, all, scenes, held, events] = await Promise.all([api.nodes(), api.groups(), api.streams(), api.scenes(), api.exemptions(), api.events({ since_ms: Date.now() - 7 * 86400000, limit: MOST, health: true })]);
    renew(processes, ...nodes.map(node));
    renew(owners, ...(fused.length ? groups(fused) : []));
    renew(books, streams(all));
    renew(spent, ...scenes.filter((scene) => scene.learnt).map((scene) => el("div", { class: "row" }, el("strong", {}, scene.name), budget(scene))), budgets(scenes));
    renew(normal, exemptions(held, load));
    renew(more, ...(events.length < MOST ? [] : [el("p", { class: "quiet" }, `The newest ${MOST}; older ones, if any, are not listed.`)]));
    told.show(events, "No equipment failed.");
  };
  await load();
  main.replaceChildren(el("h1", {}, "Health"),
    el("h2", {}, "Processes on this machine"), processes, owners,
    el("h2", {}, "Streams"), el("p", { class: "quiet" }, "Captured is delivered, waiting and dropped; what nothing explains would be a fault."), books,
    el("h2", {}, "Alarms beside the budget of false alarms"), el("p", { class: "quiet" }, "An alarm is counted until somebody answers that it was real."), spent,
    el("h2", {}, "Held back as normal"), normal,
    el("h2", {}, "Equipment, last week"), more, told.room);
  const again = setInterval(() => load().catch(() => {}), 4000);
  return () => clearInterval(again);
}

function node(one) {
  const ok = one.reached && one.checks.every((check) => check.ok);
  const told = one.checks.filter((check) => !check.ok || check.detail);
  return el("section", { class: "card", "aria-label": one.name },
    el("div", { class: "row spread" }, el("strong", {}, one.name), el("span", { class: `badge ${ok ? "good" : "bad"}` }, ok ? "well" : one.reached ? "not well" : "no answer")),
    el("p", { class: "quiet" }, `since ${when(one.since_ms)}`),
    told.length ? el("ul", { class: "list" }, told.map((check) => el("li", {}, `${check.name}: ${check.detail || "not well"}`))) : null);
}

function groups(all) {
  const rows = all.map((one) => el("tr", {},
    el("td", {}, one.group), el("td", {}, el("span", { class: `badge ${one.state === "serving" ? "good" : "bad"}` }, one.state)),
    [one.machine, one.owner || "nobody", String(one.token), String(one.restarts), one.scenes.join(", "), one.state === "serving" ? "" : one.detail].map((t) => el("td", {}, t))));
  return [el("h2", {}, "Groups of scenes"), el("p", { class: "quiet" }, "The owner alone may write: its token is the newest."),
    el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "groups of scenes" },
      el("table", {}, el("thead", {}, el("tr", {}, ["Group", "State", "Machine", "Owner", "Token", "Restarts", "Scenes", "Said"].map((t) => el("th", { scope: "col" }, t)))), el("tbody", {}, rows)))];
}

// Before a scene was watched at all there is no bound: none is given then.
const figure = (value) => value === null ? "any" : value.toFixed(1);

function budgets(scenes) {
  const rows = scenes.flatMap((scene) => scene.rates.map((rate) => el("tr", {},
    [scene.name, scene.budget, `last ${rate.period}`, String(rate.raised), figure(rate.budgeted), `${figure(rate.low)} to ${figure(rate.high)}`].map((t) => el("td", {}, t)))));
  return el("table", {}, el("thead", {}, el("tr", {}, ["Scene", "Budget", "Period", "Raised", "Allowed for the time watched", "Raised for each allowed (90 % sure)"].map((t) => el("th", { scope: "col" }, t)))), el("tbody", {}, rows));
}
