// Who gets which answer, and why.

import { ask, byId, countdown, el, note, short, show, table } from "./dom.js";
import { country, mark, placed, sign } from "./map.js";

let turn = 0;

/** Lets the form ask. */
export function start() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    explain();
  });
  byId("ask-country").addEventListener("change", (event) => chooseCountry(event.target.value));
  byId("ask-from").addEventListener("input", () => {
    byId("ask-country").value = "";
    mark(null);
  });
}

/** Offers a name to ask for, where there is none yet. */
export function offer(name) {
  const field = byId("ask-name");
  if (!field.value) field.value = name;
}

/** Asks as somebody in a country. */
export function chooseCountry(code) {
  byId("ask-country").value = code;
  mark(code);
  if (!code) return;
  byId("ask-from").value = "";
  explain();
}

async function explain() {
  const [name, type] = [byId("ask-name").value.trim(), byId("ask-type").value];
  const [from, code] = [byId("ask-from").value.trim(), byId("ask-country").value];
  const title = code ? (country(code)?.name ?? code) : from;
  if (!code && !from) return tell(null, "Choose a country, or give an address or a subnet.");
  turn += 1;
  const own = turn;
  byId("answer").setAttribute("aria-busy", "true");
  const said = await ask(
    "explain.json",
    from ? { name, type, from } : { name, type, country: code },
  ).catch((error) => error);
  // Somebody asks for something else by now.
  if (own !== turn) return;
  byId("answer").setAttribute("aria-busy", "false");
  if (said instanceof Error) tell(code, said.message, title);
  else show(byId("answer"), answer(said, title, code));
}

/** Says why there is no answer; of a country, where it is all the same. */
function tell(code, why, title = "No answer") {
  show(
    byId("answer"),
    el("h4", {}, title),
    code ? placed(code) : null,
    el("p", { class: "error" }, why),
  );
}

function answer(said, title, code) {
  const { explanation, text, unplaced } = said;
  return [
    el("h4", {}, title),
    facts(explanation, code),
    records(explanation),
    unplaced
      ? el("p", { class: "error" }, "The rule is not known, for the files have errors.")
      : null,
    el("details", {}, el("summary", {}, "The whole explanation"), el("pre", { tabindex: 0 }, text)),
  ];
}

function facts({ client, placement, zone, answer: { code, cause } }, isCountry) {
  const rows = [];
  const add = (name, ...value) => rows.push(el("dt", {}, name), el("dd", {}, ...value));
  const asks = client.subnet ? `${client.subnet} as a client subnet` : client.address;
  add("Asks", el("span", { class: "mono" }, asks), isCountry ? " (an address there)" : null);
  if (zone) add("Region", sign(zone.region));
  if (placement) add("By", placement.rule);
  if (placement?.written) add("Written in", el("code", {}, placement.written));
  if (placement && zone && placement.region !== zone.region) {
    add("The files say", sign(placement.region), ", and that is not published");
  }
  if (code && code !== "NOERROR") add("Says", code);
  if (!code) add("Says", `nothing: ${cause}`);
  if (zone?.scope) add("Good for", `its /${zone.scope.length}`);
  if (zone?.["next-change"]) add("Changes in", countdown(zone["next-change"]));
  return el("dl", { class: "facts" }, rows);
}

function records({ answer: { records, code }, rtype, zone }) {
  const own = records.filter((record) => record.section === "answer");
  if (own.length === 0) return code ? note(`It has no ${rtype} records.`) : null;
  if (own.every((record) => data(record)[0] === "SRV")) return srv(own, records, zone.name);
  return el(
    "ul",
    { class: "records mono" },
    own.map((record) => el("li", {}, record.text)),
  );
}

/** Returns a record's type and what follows it. */
const data = (record) => record.text.split(/\s+/).slice(3);

function srv(own, records, zone) {
  const addresses = (target) =>
    records
      .filter((record) => record.section === "additional" && record.text.startsWith(`${target} `))
      .map((record) => data(record)[1]);
  const row = (record) => {
    const [, priority, weight, port, target] = data(record);
    const isDrained = record.origin?.endsWith(", drained");
    return el(
      "tr",
      {},
      el("td", {}, priority),
      el(
        "td",
        {},
        el(
          "span",
          { class: "mono", title: target },
          short(target, zone),
          el("span", { class: "port" }, `:${port}`),
        ),
        isDrained ? el("span", { class: "badge" }, "drained") : null,
        note(addresses(target).join(", ")),
        record.origin
          ? note(
              record.origin.replace(", drained", ""),
              weight === "100" ? "" : `, weight ${weight}`,
            )
          : null,
      ),
      el("td", { class: "number" }, `${record.ttl} s`),
    );
  };
  const list = table("Endpoints in failover order", ["Priority", "Endpoint", "TTL"], own.map(row));
  list.classList.add("records");
  return list;
}
