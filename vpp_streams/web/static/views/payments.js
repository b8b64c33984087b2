// What pages about payments share: amounts, formulas, times of the books, and the panel of a home.

import { h, panel, text } from "../dom.js";
import { get } from "../live.js";

/** The home's panel reads the ledger this often; the rest of its page changes each second. */
const LEDGER_MS = 60_000;
export const pathOf = (siteId) => `homes/${encodeURIComponent(siteId)}`;
export const pageOf = (siteId) => `#/home/${encodeURIComponent(siteId)}`;

/** An amount with its currency and a real minus sign; exact to the micro if `decimals` is 6. */
export function amount(money, decimals = 4) {
  const size = (Math.abs(money.micros) / 1e6).toFixed(decimals);
  return `${money.micros < 0 && Number(size) ? "−" : ""}${size} ${money.currency}`.trim();
}

/** An energy in kWh with its sign, or that it was not measured. */
export function kwh(wh) {
  if (wh === null || wh === undefined) return "not measured";
  const size = (Math.abs(wh) / 1000).toFixed(3);
  return `${wh < 0 && Number(size) ? "−" : ""}${size} kWh`;
}

/** A month in words, for example "October 2025". */
export function monthName(month) {
  const [year, number] = month.split("-").map(Number);
  return new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" }).format(Date.UTC(year, number - 1, 1));
}

/** Writes times on the clock of the books' zone; `span(start, end)` names the day once. */
export function timesIn(zone) {
  const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: zone });
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone });
  const offset = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", timeZoneName: "shortOffset", timeZone: zone });
  const nameOf = (ms) => offset.formatToParts(ms).find((part) => part.type === "timeZoneName")?.value ?? "";
  return {
    day: (ms) => day.format(ms),
    span(start, end) {
      const until = day.format(start) === day.format(end) ? clock.format(end) : `${day.format(end)}, ${clock.format(end)}`;
      // Where clocks change in it, the same time of the day may be meant twice.
      const zones = nameOf(start) === nameOf(end) ? "" : ` (${nameOf(start)} to ${nameOf(end)})`;
      return `${day.format(start)}, ${clock.format(start)} to ${until}${zones}`;
    },
  };
}

/** A formula, with what the numbers alone do not say. */
export function formulaOf({ text: words, note }) {
  return [h("p", { class: "formula" }, words), note ? h("p", { class: "note" }, note) : null];
}

const WHY = { award: "Market award", event: "Operator's event" };
const DIRECTIONS = { gave: "your battery gave", charged: "your battery took", none: "no energy was delivered" };

/** What an event was, in a sentence. */
export function eventTitle(event) {
  if (event.why === "availability") return "Availability: your battery stood ready";
  const moved = event.direction === "none" ? DIRECTIONS.none : `${DIRECTIONS[event.direction]} ${kwh(Math.abs(event.delivered_wh))}`;
  const market = event.market ? ` (${event.market})` : "";
  // Programs also pay for events that were sold to a market.
  const why = event.why === "event" && event.market ? "Event of market awards" : WHY[event.why];
  return `${why}${market}: ${event.delivered_wh === null ? "not measured" : moved}`;
}

/** The panel of a home: what it earned this month, its last event, and where there is more. */
export function earnedPanel(siteId) {
  const sum = h("p", { class: "earned" });
  const last = h("p", {});
  const problem = h("p", { class: "note", role: "status" });
  const more = h("p", { class: "downloads" },
    h("a", { href: `${pageOf(siteId)}/events` }, "Past events"),
    h("a", { href: `${pageOf(siteId)}/statements` }, "Monthly statements"));
  let readAt = -Infinity;
  return {
    element: panel("What you earned", null, sum, last, problem, more),
    async refresh(signal) {
      if (performance.now() - readAt < LEDGER_MS) return;
      readAt = performance.now();
      try {
        const [months, events] = await Promise.all([
          get(`${pathOf(siteId)}/statements`, {}, signal),
          get(`${pathOf(siteId)}/events`, { limit: 1, days: 30 }, signal),
        ]);
        const now = months.months.find((one) => one.month === months.this_month);
        text(sum, now ? `${monthName(months.this_month)} so far: ${amount(now.total, 2)}` : `Nothing was booked in ${monthName(months.this_month)} yet.`);
        const [event] = events.events;
        text(last, event ? `Last event, ${timesIn(events.zone).span(event.start_ms, event.end_ms)}: ${eventTitle(event)}, ${amount(event.amount)}.` : "No event in the last 30 days.");
        text(problem, "");
      } catch (error) {
        if (error.name === "AbortError") { readAt = -Infinity; throw error; }
        // All else of the page is from another source, and is shown.
        text(problem, error instanceof TypeError ? "What you earned cannot be shown now." : error.message);
      }
    },
  };
}

