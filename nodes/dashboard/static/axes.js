// Axes that follow the colours of the page, and plots that follow its width.

import { colour } from "/static/dom.js";

export function axis(more = {}) {
  const line = () => colour("line");
  return { stroke: () => colour("quiet"), grid: { stroke: line, width: 1 }, ticks: { stroke: line }, ...more };
}

export function fit(plot, room) {
  if (plot && room.clientWidth && plot.width !== room.clientWidth) plot.setSize({ width: room.clientWidth, height: plot.height });
}
