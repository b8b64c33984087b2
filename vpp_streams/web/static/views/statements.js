// Monthly statements of a home: each line opens to the entries behind it.

import { h, panel } from "../dom.js";
import { get, newest } from "../live.js";
import { amount, formulaOf, kwh, monthName, pageOf, pathOf, timesIn } from "./payments.js";

const PAGE = 50;
const BASELINES = {
  no_battery: "compared with the connection as it would have been without its battery",
  ten_of_ten: "compared with the mean of ten similar days without an event",
};
const stateOf = (state) => h("span", { class: `pill ${state === "closed" ? "good" : "quiet"}` }, state);

/** The months in which a home has entries. */
export function statementsView(siteId) {
  const list = h("ol", { class: "paid" });
  const empty = h("p", { class: "empty", role: "status" });
  return {
    title: `Statements of ${siteId}`,
    everyMs: 60_000,
    element: h("div", { class: "view owner" },
      h("p", { class: "back" }, h("a", { href: pageOf(siteId) }, siteId), " · ", h("a", { href: `${pageOf(siteId)}/events` }, "Past events")),
      h("h1", {}, "Monthly statements"),
      panel("Months", null, empty, list)),
    async refresh(signal) {
      const { months } = await get(`${pathOf(siteId)}/statements`, {}, signal);
      empty.hidden = months.length > 0;
      empty.textContent = "Nothing was booked for this home yet.";
      list.replaceChildren(...months.map((one) => h("li", {},
        h("div", { class: "what" }, h("a", { href: `${pageOf(siteId)}/statements/${one.month}` }, monthName(one.month)), h("span", { class: "sum" }, amount(one.total, 2))),
        h("p", { class: "note" }, stateOf(one.state), one.paid_out.micros ? ` ${amount(one.paid_out, 2)} were paid out to you in this month.` : ""))));
    },
  };
}

function entryRow({ entry, links }, siteId, times) {
  const energy = entry.energy_wh === null || entry.baseline_wh === null ? null
    : `Measured ${kwh(entry.energy_wh)}, baseline ${kwh(entry.baseline_wh)}, counted ${kwh(entry.delivered_wh)} (+ is to the grid).`;
  const behind = links.windows || links.commands.length
    ? h("a", { href: `#/sites/${encodeURIComponent(siteId)}` }, "Readings and commands") : null;
  const revision = entry.window_revision > 0 ? ` Its windows were corrected ${entry.window_revision} times.` : "";
  return h("li", {},
    h("div", { class: "what" }, h("time", {}, times.span(entry.start_ms, entry.end_ms)), h("span", { class: "sum" }, amount(entry.amount, 6))),
    formulaOf(entry.formula),
    energy ? h("p", { class: "note" }, energy) : null,
    entry.coverage_said ? h("p", { class: "note" }, entry.coverage_said) : null,
    h("p", { class: "note" }, `${entry.said}${revision} `, behind));
}

/** A line with its formula, and its entries once it is opened. */
function lineRow(row, siteId, month, zone) {
  const entries = h("ol", { class: "paid" });
  const status = h("p", { class: "note", role: "status" });
  const more = h("button", { type: "button", hidden: true }, "Show more");
  const times = timesIn(zone);
  let read = 0;
  const readPage = newest(async (signal) => {
    status.textContent = "Reading …";
    try {
      const page = await get(`${pathOf(siteId)}/entries`, {
        month, kind: row.kind, program_id: row.program_id, program_version: row.program_version, offset: read, limit: PAGE }, signal);
      entries.append(...page.entries.map((linked) => entryRow(linked, siteId, times)));
      read += page.entries.length;
      more.hidden = read >= page.total;
      status.textContent = `${read} of ${page.total} entries.`;
    } catch (error) {
      if (error.name === "AbortError") return; // the same page was requested again
      status.textContent = error instanceof TypeError ? "The web process does not answer." : error.message;
      more.hidden = false;
    }
  });
  more.addEventListener("click", () => readPage());
  const details = h("details", {}, h("summary", {}, `Entries of: ${row.said}, terms version ${row.program_version}`), entries, status, more);
  details.addEventListener("toggle", () => { if (details.open && !read) readPage(); });
  const compared = BASELINES[row.baseline] && row.kind !== "availability" ? `, ${BASELINES[row.baseline]}` : "";
  const name = row.program_name ? `${row.program_name} (${row.program_id})` : row.program_id;
  return h("li", {},
    h("div", { class: "what" }, h("span", {}, row.said), h("span", { class: "sum" }, amount(row.amount, 6))),
    formulaOf(row.formula),
    h("p", { class: "note" }, `${row.intervals} ${row.intervals === 1 ? "interval" : "intervals"}; ${name}, terms version ${row.program_version}${compared}.`),
    details);
}

function measuredSaid({ measured: part, hours }) {
  if (!part.settled_h) return "No interval of this month has been settled for your home.";
  const settled = `${part.settled_h.toFixed(2)} of the month's ${hours.toFixed(0)} hours were settled`;
  if (part.complete) return `${settled}; they were measured completely.`;
  return `${settled}. In ${part.intervals_with_gaps} ${part.intervals_with_gaps === 1 ? "interval" : "intervals"} ${part.missing_min.toFixed(1)} minutes were not measured; they were not paid.`;
}

function sums(told) {
  const minor = amount(told.payable, told.decimals);
  const day = timesIn(told.zone).day;
  const rows = [
    ["Earned in this month", amount(told.total, 6), "strong"],
    ["Owed from before", amount(told.owed_before, 6), ""],
    ...told.paid_out.map((one) => [`Paid out on ${day(one.at_ms)} (${one.payout_id})`, `−${amount(one.amount, 6)}`, ""]),
    ["Can be paid out at the end of the month", minor, "strong"],
    ["Carried into the next month", amount(told.carried, 6), ""],
  ];
  return h("dl", { class: "sums" }, rows.flatMap(([what, much, tone]) => [h("dt", { class: tone }, what), h("dd", { class: tone }, much)]));
}

function stormsSaid({ storms }) {
  if (!storms) return "Storms: there was none, or their cost is not known.";
  const count = storms.unknown_intervals;
  const unknown = count ? ` ${count} ${count === 1 ? "interval without a measurement is" : "intervals without a measurement are"} not in it.` : "";
  return `Storms cost ${amount(storms.cost, 2)} by your tariff. This is information, and not part of the total.${unknown} ${storms.formula.text}. ${storms.formula.note}`;
}

function content(told, siteId) {
  const corrected = told.corrected.micros ? h("p", { class: "note" }, `Of this, corrections of earlier months that had been closed: ${amount(told.corrected, 6)}.`) : null;
  const lines = told.rows.length
    ? h("ol", { class: "paid" }, told.rows.map((row) => lineRow(row, siteId, told.month, told.zone)))
    : h("p", { class: "empty" }, "Nothing was settled for your home in this month.");
  return [
    panel("Sum", stateOf(told.state), sums(told)),
    panel("What you earned", null, lines, corrected),
    panel("What was measured", told.measured.complete ? null : h("span", { class: "pill warn" }, "not complete"),
      h("p", {}, measuredSaid(told)), h("p", { class: "note" }, stormsSaid(told))),
    panel("How to check it", null, told.how_to_check.map((words) => h("p", { class: "note" }, words))),
  ];
}

/** One month. */
export function statementView(siteId, month) {
  const parts = h("div", { class: "stack" });
  const files = `api/v1/${pathOf(siteId)}/statements/${encodeURIComponent(month)}?format=`;
  const known = /^\d{4}-(0[1-9]|1[0-2])$/.test(month);
  let shown = "";
  return {
    title: `Statement of ${siteId}, ${month}`,
    everyMs: 60_000,
    element: h("div", { class: "view owner" },
      h("p", { class: "back" }, h("a", { href: pageOf(siteId) }, siteId), " · ", h("a", { href: `${pageOf(siteId)}/statements` }, "Monthly statements")),
      h("h1", {}, known ? `Statement for ${monthName(month)}` : "Statement"),
      h("p", { class: "downloads" }, ["pdf", "csv"].map((format) => h("a", { href: `${files}${format}`, download: "" }, `Download as ${format.toUpperCase()}`))),
      parts),
    async refresh(signal) {
      const told = await get(`${pathOf(siteId)}/statements/${encodeURIComponent(month)}`, {}, signal);
      const next = JSON.stringify(told);
      if (next === shown) return;  // what a person has opened stays open
      shown = next;
      parts.replaceChildren(...content(told, siteId));
    },
  };
}
