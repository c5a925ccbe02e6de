// Axes that follow the colours of the page, and plots that follow its width.

import { colour } from "/static/dom.js";

export function axis(more = {}) {
  const line = () => colour("line");
  return { stroke: () => colour("quiet"), grid: { stroke: line, width: 1 }, ticks: { stroke: line }, ...more };
}

const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// Times as they are told elsewhere on the page, the day where another one begins.
export function timeAxis() {
  const named = (splits, step) => {
    const clock = step < 60 ? second : minute;
    let before = "";
    return splits.map((at) => {
      const today = day.format(at * 1000), told = today === before ? "" : today;
      before = today;
      return step < 86400 ? `${clock.format(at * 1000)}${told && `\n${told}`}` : today;
    });
  };
  return axis({ space: 90, values: (plot, splits, index, room, step) => named(splits, step) });
}

export function fit(plot, room) {
  if (plot && room.clientWidth && plot.width !== room.clientWidth) plot.setSize({ width: room.clientWidth, height: plot.height });
}
