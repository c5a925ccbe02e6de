// Elements with text in them; text never becomes markup.

export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// Fills a room anew; what had the focus there has it again.
export function renew(room, ...children) {
  const mark = (one) => `${one.tagName} ${one.getAttribute("href")} ${one.getAttribute("aria-label") ?? one.textContent}`;
  const held = room !== document.activeElement && room.contains(document.activeElement) ? mark(document.activeElement) : null;
  room.replaceChildren(...children);
  if (held) [...room.querySelectorAll("a, button, summary, [tabindex]")].find((one) => mark(one) === held)?.focus({ preventScroll: true });
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
