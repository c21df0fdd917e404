// Queries a second, by region: differences of the server's counters, in small plots.
//
// A plot has a gap where the page heard nothing for a while (a laptop that slept, a network that
// was away), and begins anew where the server was started again: counters begin at 0 then, and a
// difference would be a lie.

import { byId, count, el, note, say, show, svg } from "./dom.js";
import { colour, regionAt, sign } from "./map.js";

/** How much of the past is shown, in milliseconds. */
const SHOWN = 10 * 60 * 1000;

/** From how long a silence on there is a gap, in milliseconds. */
const GAP = 20_000;

/** The most plots at a time. */
const PLOTS_MAX = 24;

const [WIDTH, HEIGHT] = [300, 48];

/** Samples, the oldest first: when, what the counters said, and whether nothing is known before. */
const samples = [];

/** Takes in a status. */
export function sample(status) {
  const last = samples.at(-1);
  // The server's own stopwatch: the answer may have been under way for long.
  const at = status["running-for"];
  if (last && last.started === status.started && at <= last.at) return;
  const breaks = !last || last.started !== status.started || at - last.at > GAP;
  // After a restart the stopwatch begins anew, and so do the plots.
  if (last && last.started !== status.started) samples.length = 0;
  const regions = new Map(status.regions.map((one) => [one.region, one.queries]));
  samples.push({ at, started: status.started, breaks, regions, messages: status.messages });
  while (samples[0].at < at - SHOWN) samples.shift();
  draw();
}

/** Returns rates between samples: the middle of each span is not needed at this size. */
function rates(read) {
  return samples.slice(1).map((sample, index) => {
    const before = samples[index];
    const rate = ((read(sample) - read(before)) * 1000) / (sample.at - before.at);
    // A counter that goes back belongs to a region that is gone and came again.
    return { at: sample.at, from: before.at, rate: sample.breaks || rate < 0 ? null : rate };
  });
}

/** Returns a rate for people. */
export function perSecond(rate) {
  if (rate === null || rate === undefined) return "–";
  if (rate === 0) return "0";
  return rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en");
}

/** Returns how many messages came a second, lately. */
export const messageRate = () => rates((sample) => sample.messages).at(-1)?.rate ?? null;

function draw() {
  const asked = [...samples.at(-1).regions].filter(([, queries]) => queries > 0);
  const busiest = asked
    .sort((a, b) => b[1] - a[1])
    .slice(0, PLOTS_MAX)
    .map(([name]) => name)
    .sort();
  const all = busiest.map((name) => [name, rates((sample) => sample.regions.get(name) ?? 0)]);
  const top = Math.max(1, ...all.flatMap(([, list]) => list.map(({ rate }) => rate ?? 0)));
  const plots = byId("plots");
  const known = new Map([...plots.children].map((item) => [item.dataset.region, item]));
  const items = all.map(([name, list]) => redraw(known.get(name) ?? plot(name), list, top));
  if (
    items.some((item, at) => plots.children[at] !== item) ||
    plots.children.length !== items.length
  ) {
    show(plots, items);
  }
  const minutes = Math.max(1, Math.round((samples.at(-1).at - samples[0].at) / 60_000));
  say(
    byId("traffic-note"),
    all.length
      ? "Queries that zones answered, a second. All plots reach from 0 to " +
          `${perSecond(top)}, over the last ${minutes} min.`
      : "No zone has answered a query since the server started.",
  );
  const quiet = samples.at(-1).regions.size - asked.length;
  const left = asked.length - busiest.length;
  show(
    byId("traffic-rest"),
    left > 0 ? `${count(left, "region")} with fewer queries not shown. ` : null,
    quiet > 0 && all.length ? `${count(quiet, "region")} without a query.` : null,
  );
}

function plot(name) {
  const box = {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  };
  const area = svg("path", { class: "area" });
  const curve = svg("path", { class: "curve" });
  const at = regionAt(name);
  area.style.fill = curve.style.stroke = at === null ? "var(--quiet)" : colour(at);
  return el(
    "li",
    { "data-region": name },
    el("p", {}, sign(name), el("span", { class: "nowrap" })),
    svg("svg", box, area, curve),
  );
}

function redraw(item, list, top) {
  const last = list.at(-1)?.rate;
  say(item.querySelector("p > span:last-child"), `${perSecond(last)}/s`);
  const end = samples.at(-1).at;
  const begin = Math.min(samples[0].at, end - 60_000);
  const x = (at) => (((at - begin) / (end - begin)) * WIDTH).toFixed(1);
  const y = (rate) => (HEIGHT - 1 - (rate / top) * (HEIGHT - 4)).toFixed(1);
  const runs = [];
  for (const one of list) {
    if (one.rate === null) runs.push([]);
    else (runs.at(-1) ?? (runs.push([]), runs.at(-1))).push(one);
  }
  const line = (run) =>
    `M${x(run[0].from)} ${y(run[0].rate)}` +
    run.map((one) => `L${x(one.at)} ${y(one.rate)}`).join("");
  const full = runs.filter((run) => run.length > 0);
  const [area, curve] = item.querySelectorAll("path");
  curve.setAttribute("d", full.map(line).join(""));
  area.setAttribute(
    "d",
    full
      .map((run) => `${line(run)}L${x(run.at(-1).at)} ${HEIGHT}L${x(run[0].from)} ${HEIGHT}z`)
      .join(""),
  );
  return item;
}
