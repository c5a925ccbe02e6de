// Windows as they are scored. The browser comes back by itself when the link breaks.

const STALE_MS = 5000, HOPS = 3;

// For how long a window tells how it is, milliseconds: three more should have come, where they are rare.
export const holds = (window_) => Math.max(STALE_MS, HOPS * window_.hop_ms);

const link = () => document.getElementById("link");

function say(text, kind) {
  link().textContent = text;
  link().className = `badge ${kind}`;
}

// Calls `take` with each window; returns what ends it.
export function follow(scene, take) {
  const source = new EventSource(scene ? `/api/live?scene=${encodeURIComponent(scene)}` : "/api/live");
  let last = 0, patience = STALE_MS;
  source.onopen = () => say("connected", "good");
  source.onerror = () => say("link broken, trying again", "bad");
  source.onmessage = (message) => {
    const window_ = JSON.parse(message.data);
    patience = last ? Math.min(patience, holds(window_)) : holds(window_);
    last = Date.now();
    say("live", "good");
    take(window_);
  };
  const watch = setInterval(() => {
    if (source.readyState === EventSource.OPEN && Date.now() - last > patience) {
      say(last ? "no new windows" : "waiting for the fusion node", "warn");
    }
  }, 1000);
  return () => {
    clearInterval(watch);
    source.close();
    say("connected", "good");
  };
}
