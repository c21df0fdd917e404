// What the parts of the page share: elements, times, and asking the server.
//
// Everything that the server says becomes text of a node. Nothing in this folder makes markup of a
// string, so that nothing in a table, a reason or a name can become a part of the page.

const SVG = "http://www.w3.org/2000/svg";

/** Returns an element by its ID. */
export const byId = (id) => document.getElementById(id);

/** Makes an element of HTML. Attributes that are null are left out; children are nodes or text. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Makes an element of SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Gives a node other children. */
export function show(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

/** Changes a node's text if it is another one: what has not changed is not read out again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Makes a small note. */
export const note = (...children) => el("p", { class: "note" }, ...children);

/** Makes a table inside of what can be scrolled with the keyboard.
 *
 * On a phone its rows are stacked, by another `display` than that of a table: so that it stays one
 * for screen readers, roles are said, and each cell has its column's head for the eye: of
 * `labels`, where heads are long. */
export function table(caption, heads, rows, attributes = {}, labels = heads) {
  for (const row of rows) {
    row.setAttribute("role", "row");
    [...row.cells].forEach((cell, at) => {
      cell.setAttribute("role", at === 0 && cell.tagName === "TH" ? "rowheader" : "cell");
      cell.dataset.head = labels[at];
      if (cell.tagName === "TD") cell.replaceChildren(el("div", {}, ...cell.childNodes));
    });
  }
  const head = heads.map((text) => el("th", { scope: "col", role: "columnheader" }, text));
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el(
      "table",
      { role: "table", ...attributes },
      el("caption", { class: "unseen" }, caption),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
      el("tbody", { role: "rowgroup" }, rows),
    ),
  );
}

/** Says how many there are of which only some are shown. */
export function more(cut, what) {
  const left = cut.count - cut.shown.length;
  return left > 0 ? note(`${left.toLocaleString("en")} more ${what}.`) : null;
}

/** Returns a number with its noun. */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** Returns a name relative to its zone, as tables have it. */
export function short(name, zone) {
  const suffix = `.${zone}`;
  return name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
}

//----------- Asking -------------------------------------------------------------------------------

/** Asks for a path; fails with what the server says. */
export async function ask(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  const response = await fetch(text ? `${path}?${text}` : path, {
    signal: AbortSignal.timeout(30_000),
    cache: "no-store",
  }).catch(() => {
    throw new Error("the server does not answer");
  });
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(said.error ?? `the server says ${response.status}`);
  return said;
}

//----------- Time ---------------------------------------------------------------------------------

let offset = 0;

/** Notes the time that the server goes by, in seconds since the Unix epoch.
 *
 * It was rounded down, and has been under way: the server is never behind what it said. Only where
 * it is behind by far has its clock been set back. */
export function setClock(now) {
  const said = now - performance.now() / 1000;
  offset = said > offset || said < offset - 3 ? said : offset;
}

/** Returns the server's time. */
export const now = () => performance.now() / 1000 + offset;

/** Returns a span for people: two units, as the commands print it. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const units = [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  const at = units.findIndex(([, size]) => whole >= size);
  if (at < 0) return "0 s";
  const [unit, size] = units[at];
  const text = `${Math.floor(whole / size)} ${unit}`;
  const next = units[at + 1];
  const rest = next ? Math.floor((whole % size) / next[1]) : 0;
  return rest > 0 ? `${text} ${rest} ${next[0]}` : text;
}

/** Returns the larger unit of a span alone. */
export const roughly = (seconds) => span(seconds).split(" ").slice(0, 2).join(" ");

/** Returns a time for people, by the clock of who reads it. */
export function clockTime(time) {
  return new Date(time * 1000).toLocaleString("en-GB", {
    year: "numeric",
    month: "short",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZoneName: "short",
  });
}

/** Makes what says how long ago something was; it goes on by itself. */
export function ago(time, read = span) {
  return tick("time", (at) => `${read(at - time)} ago`, {
    datetime: new Date(time * 1000).toISOString(),
    title: clockTime(time),
  });
}

/** Makes what counts down to a time. */
export function countdown(time) {
  return tick("span", (at) => span(Math.ceil(time - at)), {
    class: "nowrap",
    "data-countdown": time,
  });
}

const ticking = new Map();

/** Makes an element whose text is made anew every second, for as long as it is on the page. */
export function tick(name, text, attributes = {}) {
  const node = el(name, attributes, text(now()));
  ticking.set(node, () => say(node, text(now())));
  return node;
}

/** Has something happen every second, for as long as a node is on the page. */
export function eachSecond(node, act) {
  ticking.set(node, act);
  act();
  return node;
}

setInterval(() => {
  for (const [node, act] of ticking) {
    if (node.isConnected) act();
    else ticking.delete(node);
  }
}, 1000);
