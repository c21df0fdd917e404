// The map: each country in the colour of the region that it resolves to.

import { ask, byId, count, el, note, show, svg } from "./dom.js";

let world = null;
let atlas = null;
let choose = () => {};

/** Returns the colour of a region: hues are as far apart as so many can be, and neighbours in the
 * list are farther. */
export function colour(at) {
  const number = Math.max(atlas.regions.length, 3);
  let step = Math.round(number * 0.382);
  while (divisor(step, number) > 1) step += 1;
  const hue = 245 + (((at * step) % number) * 360) / number;
  const light = at % 2 ? "calc(var(--region-l) - 0.05)" : "calc(var(--region-l) + 0.05)";
  return `oklch(${light} var(--region-c) ${(hue % 360).toFixed(1)})`;
}

/** Returns the greatest common divisor. */
const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** Returns a region's position by its name; nothing where it is not in the table. */
export function regionAt(name) {
  const at = atlas?.regions.findIndex((region) => region.name === name) ?? -1;
  return at < 0 ? null : at;
}

/** Makes the sign of a region: its colour and its name. */
export function sign(name) {
  const at = regionAt(name);
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  if (at !== null) swatch.style.background = colour(at);
  return el("span", { class: "nowrap" }, swatch, name);
}

/** Returns what is known of a country. */
export const country = (code) => atlas?.countries.find((one) => one.code === code);

/** Draws the map; `chosen` is called with a country's code. */
export async function draw(chosen) {
  choose = chosen;
  world ??= await ask("world.json");
  atlas = await ask("regions.json");
  const focus = document.activeElement?.dataset?.code;
  show(byId("map"), picture());
  if (focus) shapes().get(focus)?.focus();
  legend();
  notes();
  list();
  mark(byId("ask-country").value);
}

/** Marks a country. */
export function mark(code) {
  for (const [other, shape] of shapes()) {
    shape.setAttribute("aria-pressed", String(other === code));
    if (other === code) rove(shape);
  }
  // Its outline is above its neighbours'.
  const shape = shapes().get(code);
  if (shape && document.activeElement !== shape) shape.parentNode.append(shape);
}

function picture() {
  const paths = Object.entries(world.paths).map(([code, data]) => shape(code, data));
  paths.find((path) => path.dataset.code === "DE")?.setAttribute("tabindex", 0);
  const land = svg("g", {}, paths);
  land.addEventListener("keydown", move);
  const box = `0 0 ${world.width} ${world.height}`;
  const label = "World map: the region of each country";
  return svg("svg", { viewBox: box, role: "group", "aria-label": label }, land, sites());
}

function shape(code, data) {
  const known = country(code);
  const region = atlas.regions[known.region].name;
  const path = svg(
    "path",
    {
      d: data,
      role: "button",
      tabindex: -1,
      "data-code": code,
      "data-region": region,
      "aria-pressed": "false",
      "aria-label": `${known.name}: ${region}`,
      onclick: () => choose(code),
    },
    svg("title", {}, `${known.name}: ${region}`),
  );
  path.style.fill = colour(known.region);
  return path;
}

const shapes = () =>
  new Map([...byId("map").querySelectorAll("path")].map((path) => [path.dataset.code, path]));

/** Makes a shape the one that the tab key leads to. */
function rove(shape) {
  for (const other of byId("map").querySelectorAll('path[tabindex="0"]'))
    other.setAttribute("tabindex", -1);
  shape.setAttribute("tabindex", 0);
}

/** Goes to the nearest country in the direction of an arrow key. */
function move(event) {
  const from = event.target.closest("path");
  if (!from) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    choose(from.dataset.code);
    return;
  }
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[
    event.key
  ];
  if (!direction) return;
  event.preventDefault();
  const [x, y] = middle(from);
  let best = null;
  for (const path of shapes().values()) {
    const [toX, toY] = middle(path);
    const ahead = (toX - x) * direction[0] + (toY - y) * direction[1];
    const aside = Math.abs((toX - x) * direction[1]) + Math.abs((toY - y) * direction[0]);
    const far = ahead + 2 * aside;
    if (path !== from && ahead > 0 && (!best || far < best.far)) best = { path, far };
  }
  if (!best) return;
  rove(best.path);
  best.path.focus();
}

function middle(path) {
  const box = path.getBBox();
  return [box.x + box.width / 2, box.y + box.height / 2];
}

//----------- Sites of regions ---------------------------------------------------------------------

/** Marks where regions are, with their names as far as these do not cover each other. */
function sites() {
  const group = svg("g", { "aria-hidden": "true" });
  const known = atlas.regions.filter((region) => region.location);
  const taken = known
    .map((region) => place(...region.location))
    .map(([x, y]) => ({ left: x - 9, right: x + 9, top: y - 9, bottom: y + 9 }));
  known.forEach((region) => {
    const [x, y] = place(...region.location);
    if (y < 0 || y > world.height) return;
    group.append(svg("circle", { class: "site", cx: x, cy: y, r: 8 }));
    const box = freePlace(x, y, region.name.length * 18.5, taken);
    if (!box) return;
    taken.push(box);
    group.append(svg("text", { x: box.left, y: box.top + 28 }, region.name));
  });
  return group;
}

/** Returns where a name fits beside its site: on the right, the left, above or below. */
function freePlace(x, y, width, taken) {
  const corners = [
    [x + 14, y - 18],
    [x - 14 - width, y - 18],
    [x - width / 2, y - 52],
    [x - width / 2, y + 12],
  ];
  const boxes = corners.map(([left, top]) => ({
    left,
    top,
    right: left + width,
    bottom: top + 36,
  }));
  return boxes.find(
    (box) =>
      box.left >= 0 &&
      box.right <= world.width &&
      taken.every(
        (other) =>
          box.left > other.right ||
          box.right < other.left ||
          box.top > other.bottom ||
          box.bottom < other.top,
      ),
  );
}

/** Projects degrees as map.py does (Equal Earth). */
function place(latitude, longitude) {
  const a = [1.340264, -0.081106, 0.000893, 0.003796];
  const theta = Math.asin((Math.sqrt(3) / 2) * Math.sin((latitude * Math.PI) / 180));
  const squared = theta ** 2;
  const sixth = squared ** 3;
  const slope = a[0] + 3 * a[1] * squared + sixth * (7 * a[2] + 9 * a[3] * squared);
  const x = (2 * Math.sqrt(3) * ((longitude * Math.PI) / 180) * Math.cos(theta)) / (3 * slope);
  const y = theta * (a[0] + a[1] * squared + sixth * (a[2] + a[3] * squared));
  return [Math.round(world.width / 2 + x * world.scale), Math.round((world.top - y) * world.scale)];
}

//----------- Legend and list ----------------------------------------------------------------------

function legend() {
  const places = atlas.regions.map(() => 0);
  for (const one of atlas.countries) places[one.region] += 1;
  const item = (region, at) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          "aria-pressed": "false",
          title: `${region.name}: ${places[at] === 1 ? "1 country" : `${places[at]} countries`}`,
          onclick: (event) => emphasize(event.currentTarget, region.name),
        },
        sign(region.name),
      ),
    );
  show(byId("legend"), atlas.regions.map(item));
}

/** Shows one region alone, or all again. */
function emphasize(button, name) {
  const is = button.getAttribute("aria-pressed") !== "true";
  for (const other of byId("legend").querySelectorAll("button"))
    other.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-pressed", String(is));
  for (const shape of shapes().values())
    shape.dataset.dim = String(is && shape.dataset.region !== name);
}

/** Says what the map cannot show: rules that place a part of a country. */
function notes() {
  const special = atlas.regions.filter(
    (region) => region.networks + region.asns + region.clouds.length > 0,
  );
  const said = special.map((region) => {
    const clouds = region.clouds.length + region["clouds-left-out"];
    const parts = [
      region.networks ? count(region.networks, "network") : null,
      region.asns ? count(region.asns, "AS number") : null,
      clouds ? `${count(clouds, "cloud region")} (${region.clouds.join(", ")})` : null,
    ];
    return el("li", {}, `${region.name}: ${parts.filter(Boolean).join(", ")}`);
  });
  const split = atlas.countries.filter((one) => Object.keys(one.elsewhere).length > 0);
  const fallback = atlas.regions[atlas.default].name;
  show(
    byId("map-notes"),
    split.length
      ? el(
          "p",
          {},
          `Parts of ${split.map((one) => one.name).join(" and ")} are placed elsewhere, `,
          "where a database knows them.",
        )
      : null,
    el("p", {}, `Clients that nothing places are in ${fallback}.`),
    said.length
      ? el(
          "details",
          {},
          el("summary", {}, `Rules that come before countries, in ${count(said.length, "region")}`),
          el("ul", {}, said),
        )
      : null,
  );
}

/** Lists every country: small ones have no shape. */
function list() {
  const select = byId("ask-country");
  const chosen = select.value;
  const names = [...atlas.countries].sort((a, b) => a.name.localeCompare(b.name, "en"));
  show(
    select,
    el("option", { value: "" }, "–"),
    names.map((one) => el("option", { value: one.code }, one.name)),
  );
  select.value = chosen;
}

/** Says where the rules place a country. */
export function placed(code) {
  const known = country(code);
  const rule = {
    country: `a rule names ${known.code}`,
    continent: "by its continent",
    nearest: `the nearest, ${known.km?.toLocaleString("en")} km away`,
    default: "nothing places it",
  }[known.rule];
  const parts = Object.entries(known.elsewhere).map(([at, codes]) =>
    note(`${atlas.regions[at].name}, where a database knows them: ${codes.join(", ")}`),
  );
  return [el("p", {}, sign(atlas.regions[known.region].name), ` – ${rule}`), ...parts];
}
