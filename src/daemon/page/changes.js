// What is under way: handovers, tables that wait for their time, and drained endpoints.

import {
  byId,
  clockTime,
  count,
  countdown,
  eachSecond,
  el,
  more,
  note,
  now,
  show,
  table,
} from "./dom.js";

let last = "";

/** Shows the changes of a status. */
export function changes(status) {
  const { handovers, scheduled, drains } = status;
  // What has not changed stays, with the focus that may be in it.
  const text = JSON.stringify([handovers, scheduled, drains]);
  if (text === last) return;
  last = text;
  const parts = [
    handovers.count
      ? group("Handovers", handoverTable(handovers), more(handovers, "handovers"))
      : null,
    scheduled.count
      ? group("Scheduled", scheduledTable(scheduled), more(scheduled, "scheduled tables"))
      : null,
    drains.count ? group("Drains", drainTable(drains), more(drains, "drains")) : null,
  ];
  const isQuiet = parts.every((part) => part === null);
  show(
    byId("changes-body"),
    isQuiet ? note("Nothing is pending, and no endpoint is drained.") : parts,
  );
}

function group(title, ...children) {
  return el("div", { class: "group" }, el("h3", {}, title), children.filter(Boolean));
}

function handoverTable({ shown }) {
  const row = (next) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, next.zone, note(`serial ${next.serial}`)),
      el("td", {}, stage(next), bar(next)),
      el("td", {}, countdown(next.effective)),
      el("td", {}, countdown(next.settled)),
    );
  return table(
    "Handovers",
    ["Zone", "Stage", "First networks in", "Last networks in"],
    shown.map(row),
  );
}

/** Says where a handover stands; it goes on by itself. */
function stage(next) {
  const node = el("span");
  return eachSecond(node, () => {
    const at = now();
    if (at < next.effective) node.textContent = "Cached answers expire";
    else if (at < next.settled) node.textContent = "Networks change over";
    else node.textContent = "In force for everybody";
  });
}

function bar(next) {
  const node = el("progress", {
    max: Math.max(1, next.settled - next.published),
    "aria-label": `Handover of ${next.zone}`,
  });
  return eachSecond(node, () => {
    node.value = Math.max(0, now() - next.published);
  });
}

function scheduledTable({ shown }) {
  const row = (next) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, next.zone),
      el("td", {}, countdown(next.begin)),
      el("td", {}, countdown(next.effective), note(clockTime(next.effective))),
    );
  return table("Scheduled tables", ["Zone", "Published in", "In force in"], shown.map(row));
}

function drainTable({ shown }) {
  const row = (drain) =>
    el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        el("span", { class: "mono" }, drain.endpoint),
        el("span", { class: "badge" }, drain.phase),
      ),
      el("td", {}, progress(drain)),
      el("td", {}, drain.reason ?? "–", note(`by ${drain.by}, ${clockTime(drain.since)}`)),
      el("td", {}, drain.until ? countdown(drain.until) : "when undrained"),
    );
  return table("Drains", ["Endpoint", "Stage", "Why", "Ends in"], shown.map(row));
}

function progress(drain) {
  if (drain.phase === "scheduled")
    return ["takes effect in ", countdown(drain.effective ?? drain.since)];
  if (drain.phase === "drained") return "no cached answer prefers it";
  const only = drain["only-choice-of"];
  if (only) return `still the first choice of ${only}, where nobody else is left`;
  if (drain.settled > now()) return ["last networks change over in ", countdown(drain.settled)];
  return ["last cached answer that prefers it expires in ", countdown(drain["preferred-until"])];
}

/** Says in few words what is pending. */
export function summary(status) {
  const waiting = status.scheduled.count
    ? `${count(status.scheduled.count, "table")} scheduled`
    : "no table scheduled";
  const active = status.drains.shown.filter((drain) => drain.phase === "scheduled").length;
  return { waiting, drains: active ? `${active} of them scheduled` : "" };
}
