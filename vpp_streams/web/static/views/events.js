// Past events of a home: what it gave in each, why, and what it was paid.

import { h, panel } from "../dom.js";
import { percent } from "../format.js";
import { get } from "../live.js";
import { amount, eventTitle, formulaOf, kwh, pageOf, pathOf, timesIn } from "./payments.js";

const RANGES = [["7", "Week"], ["30", "Month"], ["90", "Quarter"]];
const MOST = 500;

/** Where the battery's energy went, if the windows of that time are still at hand. */
function flowsSaid(flows) {
  const parts = [`${kwh(flows.to_grid_wh)} to the grid`, `${kwh(flows.to_home_wh)} to your home`];
  if (flows.charged_wh >= 1) parts.push(`${kwh(flows.charged_wh)} into the battery`);
  const kept = { true: `Your reserve of ${percent(flows.reserve)} was kept: the lowest state of charge was ${percent(flows.lowest_soc)}.`, false: `Your reserve of ${percent(flows.reserve)} was not kept: the lowest state of charge was ${percent(flows.lowest_soc)}.` };
  return `${parts.join(", ")}. ${kept[flows.reserve_kept] ?? "It is not known whether the reserve was kept."}`;
}

function row(event, times) {
  const measured = event.energy_wh === null || event.baseline_wh === null ? null
    : `Measured at the connection: ${kwh(event.energy_wh)}; it would have been ${kwh(event.baseline_wh)} without the event (+ is to the grid).`;
  const notes = [
    measured,
    event.flows ? flowsSaid(event.flows) : null,
    event.correction && event.correction.micros ? `Corrected by ${amount(event.correction, 6)}, because measurements were received later.` : null,
  ];
  return h("li", {},
    h("div", { class: "what" }, h("time", {}, times.span(event.start_ms, event.end_ms)), h("span", { class: "sum" }, amount(event.amount))),
    h("p", {}, eventTitle(event)),
    event.coverage_said ? h("p", {}, h("span", { class: "pill warn" }, "not complete"), ` ${event.coverage_said}`) : null,
    event.payments.flatMap((payment) => [
      event.payments.length > 1 ? h("p", { class: "note" }, payment.said) : null, ...formulaOf(payment.formula)]),
    notes.filter(Boolean).map((words) => h("p", { class: "note" }, words)));
}

export function eventsView(siteId, query) {
  const days = RANGES.some(([name]) => name === query?.get("days")) ? query.get("days") : "7";
  const list = h("ol", { class: "paid" });
  const said = h("p", { class: "empty", role: "status" });
  const chips = RANGES.map(([name, label]) => h("a", {
    class: "chip", href: `${pageOf(siteId)}/events?days=${name}`, "aria-current": name === days ? "true" : null }, label));
  let shown = "";
  return {
    title: `Past events of ${siteId}`,
    everyMs: 60_000,
    element: h("div", { class: "view owner" },
      h("p", { class: "back" }, h("a", { href: pageOf(siteId) }, siteId), " · ", h("a", { href: `${pageOf(siteId)}/statements` }, "Monthly statements")),
      h("h1", {}, "Past events"),
      h("nav", { class: "choice", "aria-label": "Time" }, chips),
      panel("What you gave, and what you were paid", null, said, list)),
    async refresh(signal) {
      const found = await get(`${pathOf(siteId)}/events`, { days, limit: MOST }, signal);
      said.hidden = found.events.length > 0 && found.total <= found.events.length;
      said.textContent = found.events.length ? `The newest ${found.events.length} of ${found.total} events.` : "No event in this time.";
      const next = JSON.stringify(found.events);
      if (next === shown) return;
      shown = next;
      const times = timesIn(found.zone);
      list.replaceChildren(...found.events.map((event) => row(event, times)));
    },
  };
}
