// The status page: asks the server every few seconds, and shows what has changed.

import { ago, ask, byId, count, now, roughly, say, setClock, show, span } from "./dom.js";
import { draw } from "./map.js";
import { chooseCountry, start as startAnswer } from "./answer.js";
import { changes, summary } from "./changes.js";
import { messageRate, perSecond, sample } from "./traffic.js";
import { refresh, start as startTables } from "./tables.js";
import { health, history, reloads, server } from "./server.js";

/** How often the server is asked, in milliseconds. */
const INTERVAL = 5_000;

let heard = null;
let generation = null;
let drains = null;
let reloadedAt = null;

async function poll() {
  const status = await ask("status.json").catch((error) => silent(error));
  if (status) {
    setClock(status.now);
    heard = performance.now();
    // What goes wrong here is either silence again, or a mistake of this page.
    await take(status).catch((error) =>
      error instanceof TypeError ? console.error(error) : silent(error),
    );
  }
  setTimeout(poll, INTERVAL);
}

/** Says for how long nothing was heard. */
function silent(error) {
  const silence = heard === null ? "" : ` for ${span((performance.now() - heard) / 1000)}`;
  byId("health").dataset.level = "warn";
  say(byId("health"), `No answer${silence}`);
  byId("health").title = error.message;
  return null;
}

async function take(status) {
  health(status);
  tiles(status);
  changes(status);
  reloads(status);
  server(status);
  if (generation !== status.generation) {
    await Promise.all([draw(chooseCountry), history()]);
    generation = status.generation;
    drains = null;
  }
  // Drains are in the tables too.
  const drained = JSON.stringify(status.drains.shown.map((drain) => [drain.endpoint, drain.phase]));
  if (drains !== drained) {
    await refresh();
    drains = drained;
  }
  sample(status);
  say(byId("tile-rate"), perSecond(messageRate()));
}

function tiles(status) {
  const { waiting, drains } = summary(status);
  say(byId("tile-rate-note"), `a second, ${status.messages.toLocaleString("en")} so far`);
  say(byId("tile-zones"), status.zones.toLocaleString("en"));
  say(
    byId("tile-zones-note"),
    `${count(status.regions.length, "region")}, generation ${status.generation}`,
  );
  say(byId("tile-handovers"), status.handovers.count.toLocaleString("en"));
  say(byId("tile-handovers-note"), waiting);
  say(byId("tile-drains"), status.drains.count.toLocaleString("en"));
  say(byId("tile-drains-note"), drains || (status.drains.count ? "see below" : "none"));
  if (reloadedAt !== status.last.at) {
    reloadedAt = status.last.at;
    show(byId("tile-reload"), ago(status.last.at, roughly));
  }
  const held = status.last["held-back"].count;
  say(
    byId("tile-reload-note"),
    status.last["is-whole"] ? "all taken in" : `${held || "something"} held back`,
  );
  document.title = status.troubles.length ? `(${status.troubles.length}) trunkdns` : "trunkdns";
  byId("health").title = `trunkdns ${status.version}, up ${span(now() - status.started)}`;
}

startAnswer();
startTables();
poll();
