// The priority tables, a zone and a service at a time.

import { ask, byId, count, el, note, say, short, show, table } from "./dom.js";
import { sign } from "./map.js";
import { offer } from "./answer.js";

let zone = null;
let service = null;
let waiting = null;

/** Lets the search field search. */
export function start() {
  byId("find").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 250);
  });
}

/** Reads zones and tables again. */
export async function refresh() {
  const text = byId("find").value.trim();
  const { zones } = await ask("zones.json", text ? { find: text } : {});
  if (text !== byId("find").value.trim()) return;
  const shown = zones.shown.length < zones.count ? `the first ${zones.shown.length} of ` : "";
  say(
    byId("find-count"),
    zones.count ? `${shown}${count(zones.count, "zone")}` : "no zone has that in its name",
  );
  byId("tables").querySelector(".tools").hidden = zones.count <= 1 && !text;
  show(byId("zones"), zones.shown.length > 1 || text ? zones.shown.map(choice) : []);
  if (
    zone === null ||
    (!text && !zones.shown.includes(zone) && zones.shown.length === zones.count)
  ) {
    zone = zones.shown[0] ?? null;
  }
  mark();
  await read();
}

function choice(name) {
  return el(
    "li",
    {},
    el("button", { type: "button", "data-zone": name, onclick: () => choose(name) }, name),
  );
}

function choose(name) {
  zone = name;
  mark();
  return read();
}

function mark() {
  for (const button of byId("zones").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.zone === zone));
  }
}

async function read() {
  if (zone === null) return show(byId("table"), note("There is no zone."));
  const own = zone;
  const said = await ask("tables.json", { zone }).catch((error) => error);
  if (own !== zone) return;
  if (said instanceof Error) return show(byId("table"), el("p", { class: "error" }, said.message));
  const focus = document.activeElement?.dataset?.service;
  draw(said);
  if (focus)
    byId("table")
      .querySelector(`[data-service="${CSS.escape(focus)}"]`)
      ?.focus();
}

function draw(said) {
  const [first] = said.services;
  offer(first ? `${first.service}.${said.zone}` : said.zone);
  const current = said.services.find((one) => one.service === service) ?? first;
  const button = (one) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          "data-service": one.service,
          "aria-pressed": String(one === current),
          onclick: () => {
            service = one.service;
            draw(said);
            byId("table").querySelector('[aria-pressed="true"]')?.focus();
          },
        },
        one.service,
      ),
    );
  const others = said["other-srv"];
  show(
    byId("table"),
    el("h3", {}, said.zone),
    note(`serial ${said.serial}, as published last`),
    said.services.length > 1
      ? el("ul", { class: "choices", "aria-label": "Services" }, said.services.map(button))
      : null,
    current ? serviceTable(said.zone, current) : note("This zone has no priority tables."),
    others
      ? note(`${count(others, "SRV record")} stand${others === 1 ? "s" : ""} in its other tables.`)
      : null,
  );
}

function serviceTable(name, one) {
  const heads = [
    "Region",
    ...one.tiers.map((tier) => `${tier.name} (priority ${tier.priority}, TTL ${tier.ttl} s)`),
  ];
  const rows = one.rows.map((row) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, row.region === "default" ? "default" : sign(row.region)),
      row.cells.map((cell) =>
        el(
          "td",
          {},
          cell.length
            ? cell.map((target) => endpoint(name, one, target, cell.length > 1))
            : el("span", { class: "note" }, "–"),
        ),
      ),
    ),
  );
  return [
    note(
      `port ${one.port}, TTL ${one.ttl} s`,
      one.shares ? `; the rows are those of ${one.shares}` : "",
    ),
    table(`Priority table of ${one.service}`, heads, rows, { class: "tiers" }, [
      "Region",
      ...one.tiers.map((tier) => tier.name),
    ]),
    one["by-default"].length && one.rows.length
      ? note(`By the row default: ${one["by-default"].join(", ")}.`)
      : null,
  ];
}

/** Makes an endpoint, its name relative to the zone as it is written. */
function endpoint(name, one, { target, port, weight, drain }, isOfSeveral) {
  return el(
    "span",
    { class: "endpoint", "data-drain": drain, title: target },
    el("span", { class: "mono" }, short(target, name), el("span", { class: "port" }, `:${port}`)),
    isOfSeveral ? el("span", { class: "note" }, ` weight ${weight}`) : null,
    drain === "no"
      ? null
      : el("span", { class: "badge" }, drain === "drained" ? "drained" : "drain scheduled"),
  );
}
