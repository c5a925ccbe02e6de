// Questions to the server. Without a session the login page comes.

export class Refused extends Error {}

async function ask(path, options = {}) {
  const answer = await fetch(path, { cache: "no-store", ...options });
  if (answer.status === 401) {
    location.href = "/login";
    await new Promise(() => {});
  }
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Refused(typeof body.detail === "string" ? body.detail : `the server answered ${answer.status}`);
  }
  return answer.json();
}

const query = (given) => new URLSearchParams(Object.entries(given).filter(([, v]) => v !== null && v !== undefined && v !== ""));
const part = encodeURIComponent;

export const scenes = () => ask("/api/scenes");
export const streams = () => ask("/api/streams");
export const groups = () => ask("/api/groups");
export const nodes = () => ask("/api/nodes");
export const events = (given = {}) => ask(`/api/events?${query(given)}`);
export const event = (id) => ask(`/api/events/${part(id)}`);
export const effect = (id, verdict) => ask(`/api/events/${part(id)}/effect?${query({ verdict, days: 7 })}`);
export const exemptions = () => ask("/api/exemptions?days=7");
export const history = (scene, from_ms, to_ms, points) =>
  ask(`/api/scenes/${part(scene)}/history?${query({ from_ms, to_ms, points })}`);
export const answer = (id, given) =>
  ask(`/api/events/${part(id)}/answers`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(given) });
export const withdraw = (position) => ask(`/api/answers/${position}`, { method: "DELETE" });
export const picture = (scene, stream, index) => `/api/scenes/${part(scene)}/pictures/${part(stream)}?index=${index}`;
export const normal = (scene, stream, at_ms) => `/api/scenes/${part(scene)}/normal/${part(stream)}/${at_ms}`;
export const evidence = (path) => `/evidence/${path.split("/").map(part).join("/")}`;
export const bundle = (id) => `/api/events/${part(id)}/bundle.zip`;
