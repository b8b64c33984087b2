// Bids in words and pictures: what is offered at which price, how it was decided, and its outcome.

import { h, panel, svg, table, text } from "../dom.js";
import { clock, clockSeconds, energy, left, money, number, power, powerSize, price } from "../format.js";

const RUNGS = {
  warm_lp: ["good", "warm LP"], fresh_lp: ["good", "fresh LP"], coarse_lp: ["warn", "coarse LP"],
  last_plan: ["warn", "last plan"], value_rule: ["warn", "value rule"], safe: ["bad", "safe bid"],
};
const PRODUCTS = { energy: "energy", reg_up: "regulation up", reg_down: "regulation down", reserve: "reserve" };
/** Limits that a plan could not keep, with the amount. */
const SLACKS = {
  stored_below_reserve: (far) => `the plan falls ${energy(far)} below the reserve`,
  stored_above_full: (far) => `the plan rises ${energy(far)} above full`,
  commitment_missed: (far) => `the plan misses ${power(far)} of what is sold`,
  reg_up_missed: (far) => `the plan misses ${power(far)} of regulation up`,
  reg_down_missed: (far) => `the plan misses ${power(far)} of regulation down`,
  reserve_missed: (far) => `the plan misses ${power(far)} of reserve`,
  final_short: (far) => `the plan ends ${energy(far)} short`,
};
const SHOWN_AWARDS = 12;

export const pill = (tone, words) => h("span", { class: `pill ${tone}` }, words);
export const rungTone = (rung) => RUNGS[rung]?.[0] ?? "quiet";
export const rungWord = (rung) => RUNGS[rung]?.[1] ?? rung;
export const rungPill = (rung) => (rung ? pill(rungTone(rung), rungWord(rung)) : "–");

/** A power in the terms of a market. */
export function soldPhrase(w) {
  if (w === null || w === undefined) return "–";
  if (Math.abs(w) < 1) return "idle";
  return `${w > 0 ? "sells" : "buys"} ${powerSize(w)}`;
}

/** The offer as rows {from, power_w}; `from` null = at any price below the first step's. */
export function rowsOf(offer) {
  const steps = offer.steps ?? [];
  return [{ from: null, power_w: offer.below_w, below: steps[0]?.price }, ...steps.map((s) => ({ from: s.price, power_w: s.power_w }))];
}

/** The first and the last step of an offer, in words. */
function offerWords(offer) {
  const rows = rowsOf(offer);
  if (rows.length === 1) return `${soldPhrase(rows[0].power_w)} at any price`;
  const first = rows.at(0), last = rows.at(-1);
  return `${soldPhrase(first.power_w)} below ${price(rows[1].from)}, ${soldPhrase(last.power_w)} from ${price(last.from)}`;
}

/** A small chart of an offer: price to the right, power upwards; a dot at the clearing price. */
export function curve(offer, cleared = null) {
  const rows = rowsOf(offer);
  const prices = rows.slice(1).map((r) => r.from).concat(cleared ?? []);
  const [width, height] = [150, 44];
  const low = Math.min(...prices, 0), high = Math.max(...prices, 1);
  const edge = (high - low) * 0.15;
  const powers = rows.map((r) => r.power_w);
  const most = Math.max(...powers.map(Math.abs), 1);
  const x = (p) => ((p - low + edge) / (high - low + 2 * edge)) * width;
  const y = (w) => height / 2 - (w / most) * (height / 2 - 4);
  let d = `M0 ${y(powers[0]).toFixed(1)}`;
  rows.slice(1).forEach((row) => { d += `H${x(row.from).toFixed(1)}V${y(row.power_w).toFixed(1)}`; });
  const taken = cleared === null ? null : rows.findLast((row) => row.from === null || row.from <= cleared);
  return svg("svg", { class: "plot curve", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Power by price: ${offerWords(offer)}` },
    svg("line", { x1: 0, x2: width, y1: y(0), y2: y(0), class: "rule" }),
    svg("path", { d: `${d}H${width}`, class: "line plan" }),
    taken && svg("circle", { cx: x(cleared), cy: y(taken.power_w), r: 3.5, class: "price" }));
}

export const capacityWords = (offers) => offers.map((o) => `${power(o.power_w)} ${PRODUCTS[o.product] ?? o.product} from ${price(o.price)}`);

/** Awarded capacity in words. Less than a watt is rounding. */
export const takenWords = (capacity) => Object.entries(capacity ?? {}).filter(([, w]) => w >= 1).map(([product, w]) => `${power(w)} ${PRODUCTS[product] ?? product}`);

/** Remarks on how a bid was made: limits that were relaxed, inputs that were wrong. */
export function remarks(bid) {
  const slacks = Object.entries(bid.slacks ?? {}).map(([name, far]) => SLACKS[name]?.(far) ?? `the plan passes ${name} by ${number(far, 1)}`);
  return [...slacks, ...(bid.faults ?? [])];
}

export const sentenceList = (lines, kind = "") => (lines.length ? h("ul", { class: `sentences ${kind}` }, lines.map((line) => h("li", {}, line))) : "–");

/** When an interval begins, with seconds if intervals are short. */
const intervalClock = (startMs, intervalMs) => (intervalMs % 60_000 ? clockSeconds : clock)(startMs);

function detailsButton(row, intervalMs, onOpen) {
  const label = `Details of the bid for ${intervalClock(row.start_ms, intervalMs)}`;
  return h("button", { type: "button", "aria-label": label, onclick: () => onOpen(row.bid_id) }, "Details");
}

function offerCell(bid) {
  const capacity = bid.capacity.length ? h("span", { class: "note" }, ` ${capacityWords(bid.capacity).join("; ")}`) : null;
  return h("span", { class: "offer" }, curve(bid.energy), h("span", {}, offerWords(bid.energy), capacity));
}

/** Open offers; `set(view)`, and `tick(nowMs)` for the remaining time. */
export function offersPanel(onOpen) {
  const rows = h("div", { class: "rows" });
  let countdowns = [];
  let now = Date.now();
  const leftTo = (gateMs) => (gateMs > now ? left((gateMs - now) / 1000) : "closed");
  const gate = (bid) => {
    const cell = h("span", {}, leftTo(bid.gate_ms));
    countdowns.push([cell, bid.gate_ms]);
    return cell;
  };
  return {
    element: panel("Open bids", h("span", {}, "prices per MWh, of capacity per MW and hour"), rows),
    tick(nowMs) {
      now = nowMs;
      for (const [cell, gateMs] of countdowns) text(cell, leftTo(gateMs));
    },
    set({ offers, currency, interval_ms }) {
      countdowns = [];
      rows.replaceChildren(table("Bids without an outcome, newest first", [
        { label: "Interval", kind: "id", cell: (b) => intervalClock(b.start_ms, interval_ms) },
        { label: "Offer", cell: offerCell },
        { label: "Expected", cell: (b) => `${soldPhrase(b.expected_w)}${b.expected_price === null ? "" : ` at ${price(b.expected_price)}`}` },
        { label: "Withheld", cell: (b) => h("span", {}, power(b.withheld_w), h("span", { class: "note" }, ` costs ${money(b.withheld_cost, currency)}`)) },
        { label: "Decided by", cell: (b) => h("span", { class: "one-line" }, rungPill(b.rung), h("span", { class: "note" }, ` ${number(b.solve_ms, 0)} ms`)) },
        { label: "Remarks", cell: (b) => sentenceList(remarks(b)) },
        { label: "Gate", kind: "number", cell: gate },
        { label: "Action", unseen: true, cell: (b) => detailsButton(b, interval_ms, onOpen) },
      ], offers, "No bid waits for its gate. The optimizer makes the next one shortly before the gate closes."));
    },
  };
}

/** The deviation of a delivery from its award: as a share if something was awarded, else as power. */
export function deliveryError(awardedW, measuredW) {
  if (awardedW === null || measuredW === null) return "–";
  const off = Math.abs(measuredW - awardedW);
  return Math.abs(awardedW) >= 1 ? `${number((100 * off) / Math.abs(awardedW), 1)} %` : power(off);
}

/** The missing power of an award in words; nothing without a shortfall. */
const shortWords = (missingW) => (missingW ? [`a shortfall of ${powerSize(missingW)} was announced`] : []);

function awardRemarks(award) {
  return sentenceList([...(award.reason ? [award.reason] : []), ...shortWords(award.missing_w), ...takenWords(award.capacity_w), ...award.faults]);
}

/** The newest outcomes; `set(view)`. */
export function awardsPanel(onOpen) {
  const rows = h("div", { class: "rows" });
  const more = h("button", { type: "button", class: "more", hidden: true, onclick: () => { all = true; show(); } }, "Show more");
  let all = false;
  let newest = null;
  function show() {
    const { awards, currency, interval_ms } = newest;
    more.hidden = all || awards.length <= SHOWN_AWARDS;
    rows.replaceChildren(table("Outcomes of bids, newest first", [
      { label: "Interval", kind: "id", cell: (a) => intervalClock(a.start_ms, interval_ms) },
      { label: "Price", kind: "number", cell: (a) => price(a.price) },
      { label: "Award", kind: "number", cell: (a) => (a.state === "refused" ? h("span", { class: "warn-text" }, "refused") : soldPhrase(a.awarded_w)) },
      { label: "Measured", kind: "number", cell: (a) => power(a.measured_w) },
      { label: "Error", kind: "number", cell: (a) => deliveryError(a.awarded_w, a.measured_w) },
      { label: "Earned", kind: "number", cell: (a) => money(a.money, currency) },
      { label: "Decided by", cell: (a) => rungPill(a.rung) },
      { label: "Remarks", cell: awardRemarks },
      { label: "Action", unseen: true, cell: (a) => detailsButton(a, interval_ms, onOpen) },
    ], all ? awards : awards.slice(0, SHOWN_AWARDS), "No bid of the last day has an outcome yet."));
  }
  return {
    element: panel("Awards", h("span", {}, "newest first"), rows, more),
    set(view) { newest = view; show(); },
  };
}
