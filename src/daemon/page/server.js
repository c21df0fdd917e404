// What became of reloads, and how the server itself is.

import {
  ago,
  ask,
  byId,
  clockTime,
  count,
  el,
  more,
  note,
  say,
  show,
  span,
  table,
  tick,
} from "./dom.js";

let lastReload = "";
let lastServer = "";

/** Shows the last reload, and the last that held something back. */
export function reloads(status) {
  const text = JSON.stringify([status.last, status["last-error"]]);
  if (text === lastReload) return;
  lastReload = text;
  show(
    byId("reload"),
    reload("Last reload", status.last),
    status["last-error"]
      ? reload("Last reload that held something back", status["last-error"])
      : null,
  );
}

function reload(title, one) {
  const list = (cut, text) => cut.shown.map((item) => el("li", {}, text(item)));
  return el(
    "div",
    { class: "group" },
    el("h3", {}, title, " ", badge(one)),
    note(ago(one.at), `, by ${one.by}, generation ${one.generation}`),
    el(
      "ul",
      {},
      list(one.lines, (line) => line),
      list(one.notes, (line) => line),
      list(one["held-back"], (held) => [el("strong", {}, `${held.what} is held back: `), held.why]),
      one.warnings
        ? el("li", {}, `${count(one.warnings, "warning")}: trunkdns check shows them`)
        : null,
    ),
    more(one.lines, "zones"),
    more(one["held-back"], "held back"),
    one.findings ? el("pre", { tabindex: 0, "aria-label": "Findings" }, one.findings) : null,
    one["findings-are-cut"] ? note("More of it: trunkdns check.") : null,
  );
}

const badge = (one) =>
  one["is-whole"]
    ? el("span", { class: "pill", "data-level": "good" }, "Done")
    : el("span", { class: "pill", "data-level": "bad" }, "Not all taken in");

/** Reads what was published. */
export async function history() {
  const { events } = await ask("history.json");
  const row = (event) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", class: "number" }, event.generation),
      el("td", { class: "nowrap" }, clockTime(event.time)),
      el("td", {}, event.what, note(`by ${event.by}`)),
      el(
        "td",
        {},
        el(
          "ul",
          {},
          event.lines.shown.map((line) => el("li", {}, line)),
        ),
        more(event.lines, "zones"),
      ),
    );
  show(
    byId("history"),
    el("h3", {}, "History"),
    events.count
      ? [
          table("History", ["Generation", "When", "What", "Zones"], events.shown.map(row)),
          more(events, "before that: trunkdns history"),
        ]
      : note("Nothing is remembered."),
  );
}

/** Shows databases, addresses, process, clock and state folder. */
export function server(status) {
  const text = JSON.stringify([
    status.databases,
    status.listeners,
    status.encrypted,
    status.process,
    status.state,
    status["clock-steps"],
    Math.round(status["clock-deviation"] / 1000),
    status.started,
  ]);
  if (text === lastServer) return;
  lastServer = text;
  show(byId("server-body"), databases(status), facts(status));
}

function databases({ databases }) {
  const age = ({ built }) =>
    built
      ? tick("span", (at) => `${span(at - built)} old`, { title: clockTime(built) })
      : "does not say";
  const row = (one) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", class: "mono" }, one.path),
      el("td", {}, age(one)),
      el("td", { class: "number" }, `${(one.size / 1e6).toFixed(1)} MB`),
    );
  return el(
    "div",
    { class: "group" },
    el("h3", {}, "Databases"),
    databases.length
      ? table("Databases", ["File", "Age", "Size"], databases.map(row))
      : note("None: networks, clouds and the default decide."),
  );
}

function facts(status) {
  const rows = [];
  const add = (name, value) => value && rows.push(el("dt", {}, name), el("dd", {}, value));
  const { tls, quic, https, expires, trouble } = status.encrypted;
  add("Started", ago(status.started));
  add("UDP and TCP", status.listeners.join(", "));
  add("TLS", tls.join(", "));
  add("QUIC", quic.join(", "));
  add("HTTPS", https.join(", "));
  add("Certificate", trouble ?? (expires ? `until ${clockTime(expires)}` : null));
  add("User", status.process.user);
  add("Sandbox", sandbox(status.process));
  const { state } = status;
  const wrong = [
    state["write-error"] ? `cannot be written: ${state["write-error"]}` : null,
    state.damaged,
  ];
  add("State folder", wrong.filter(Boolean).join("; ") || "well");
  const deviation = status["clock-deviation"];
  const steps = status["clock-steps"];
  add(
    "Clock",
    Math.abs(deviation) < 1000
      ? `agrees with the system's${steps ? `, which has stepped ${count(steps, "time")}` : ""}`
      : `the system's is ${deviation} ms ahead`,
  );
  return el("div", { class: "group" }, el("h3", {}, "Process"), el("dl", { class: "facts" }, rows));
}

function sandbox(process) {
  if (!process["is-sandboxed"]) return "off";
  const without = process.unrestricted.length ? `; not: ${process.unrestricted.join(", ")}` : "";
  return `${process.restricted.join(", ")}${without}`;
}

/** Shows what is not well, or that all is. */
export function health(status) {
  const { troubles } = status;
  const section = byId("troubles");
  const text = JSON.stringify(troubles);
  if (section.dataset.shown !== text) {
    section.dataset.shown = text;
    section.hidden = troubles.length === 0;
    show(
      section.querySelector("ul"),
      troubles.map(({ what, why }) => el("li", {}, el("strong", {}, `${what}: `), why)),
    );
  }
  const pill = byId("health");
  pill.dataset.level = troubles.length ? "bad" : "good";
  say(pill, troubles.length ? count(troubles.length, "trouble") : "All is well");
}
