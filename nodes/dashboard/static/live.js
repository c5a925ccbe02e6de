// Windows as they are scored. The browser comes back by itself when the link breaks.

export const STALE_MS = 5000; // after which a window no longer tells how it is

const link = () => document.getElementById("link");

function say(text, kind) {
  link().textContent = text;
  link().className = `badge ${kind}`;
}

// Calls `take` with each window; returns what ends it.
export function follow(scene, take) {
  const source = new EventSource(scene ? `/api/live?scene=${encodeURIComponent(scene)}` : "/api/live");
  let last = 0;
  source.onopen = () => say("connected", "good");
  source.onerror = () => say("link broken, trying again", "bad");
  source.onmessage = (message) => {
    last = Date.now();
    say("live", "good");
    take(JSON.parse(message.data));
  };
  const watch = setInterval(() => {
    if (source.readyState === EventSource.OPEN && Date.now() - last > STALE_MS) {
      say(last ? "no new windows" : "waiting for the fusion node", "warn");
    }
  }, 1000);
  return () => {
    clearInterval(watch);
    source.close();
    say("connected", "good");
  };
}
