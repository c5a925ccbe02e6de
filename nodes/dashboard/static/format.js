// Numbers and times in words.

const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function when(ms) {
  const today = day.format(Date.now()) === day.format(ms);
  return today ? clock.format(ms) : `${day.format(ms)}, ${clock.format(ms)}`;
}

export function long(ms) {
  const s = ms / 1000;
  if (s < 90) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 129600) return `${(s / 3600).toFixed(1)} h`;
  return `${Math.round(s / 86400)} days`;
}

// One in how many windows of normal is this unusual.
export function rarity(p) {
  const odds = 1 / p;
  if (!(odds < 1e6)) return "rarer than 1 in 1,000,000";
  if (odds < 2) return "as usual";
  const step = 10 ** Math.max(0, Math.floor(Math.log10(odds)) - 1);
  return `1 in ${(Math.round(odds / step) * step).toLocaleString()}`;
}

export function hertz(hz) {
  return hz >= 1000 ? `${(hz / 1000).toFixed(hz < 10000 ? 1 : 0)} kHz` : `${Math.round(hz)} Hz`;
}

export function number(value) {
  return value === null || value === undefined ? "–" : Number(Number(value).toPrecision(4)).toLocaleString();
}
