// One bid with its outcome and delivery.

import { h, panel, table } from "../dom.js";
import { dateTime, energy, money, number, percent, power, price } from "../format.js";
import { get, newest } from "../live.js";
import { capacityWords, curve, deliveryError, pill, remarks, rowsOf, rungPill, sentenceList, soldPhrase, takenWords } from "./bids.js";

const STATES = { open: "good", awarded: "good", delivered: "quiet", closed: "warn", refused: "bad" };

/** Pairs of name and value; unknown values are left out. */
function facts(pairs) {
  return h("dl", { class: "facts-list" }, pairs.filter(([, value]) => value !== null && value !== "–")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function measuredWords(delivery) {
  if (!delivery) return "–";
  return delivery.coverage > 0 ? `${power(delivery.measured_w)}, ${percent(delivery.coverage)} of the interval` : "not measured";
}

/** Which requests take precedence over an award; nothing without one. */
const precedence = (ids) => (ids?.length ? `: ${ids.join(", ")} took precedence` : "");

function outcome({ award, refusal, delivery, shortfall, price: cleared }, currency) {
  const measuredW = delivery?.coverage > 0 ? delivery.measured_w : null;
  return facts([
    ["Price", price(cleared)],
    ["Award", award ? [soldPhrase(award.energy_w), ...takenWords(award.capacity_w)].join("; ") : "–"],
    ["Refused", refusal?.reason ?? "–"],
    ["Measured", measuredWords(delivery)],
    ["Error", deliveryError(delivery?.awarded_w ?? null, measuredW)],
    ["Earned", money(delivery?.money, currency)],
    ["Shortfall", shortfall ? `${power(Math.abs(shortfall.missing_w))} missing, by the last report${precedence(shortfall.overridden_by)}` : "–"],
    ["Overridden", delivery?.overridden_s ? `${number(delivery.overridden_s, 0)} s${precedence(delivery.overridden_by)}` : "–"],
  ]);
}

const OFFERED_BY = {
  value: "what stored energy is worth",
  last_day: "cheap and dear by the last day's prices",
  time_of_day: "times of day that were cheap and dear on the last days",
};

function decision(bid) {
  return facts([
    ["Made", dateTime(bid.made_at_ms)],
    ["Gate", dateTime(bid.gate_ms)],
    ["Decided by", h("span", {}, rungPill(bid.rung), ` in ${number(bid.solve_ms ?? 0, 1)} ms`)],
    ["Prices of the offer", OFFERED_BY[bid.offered_by] ?? OFFERED_BY.value],
    ["Stored then", energy(bid.stored_wh)],
    ["Offered at most", `${power(bid.up_w ?? 0)} up, ${power(bid.down_w ?? 0)} down`],
    ["Withheld", `${power(bid.withheld_w ?? 0)}, costs ${money(bid.withheld_cost ?? 0, bid.currency)}`],
    ["Expected", `${soldPhrase(bid.expected_w ?? 0)}${bid.expected_price === undefined ? "" : ` at ${price(bid.expected_price)}`}`],
    ["Capacity", bid.capacity?.length ? capacityWords(bid.capacity).join("; ") : "–"],
  ]);
}

function priceWords({ from, below }) {
  if (from !== null) return `from ${price(from)}`;
  return below === undefined ? "any" : `below ${price(below)}`;
}

function offer(bid, cleared) {
  const rows = table("Power by price", [
    { label: `${bid.currency} per MWh`, kind: "number", cell: priceWords },
    { label: "Power", kind: "number", cell: (r) => soldPhrase(r.power_w) },
  ], rowsOf(bid.energy), "");
  return h("div", {}, h("h3", {}, "The offer"),
    h("div", { class: "offer-detail" }, rows, h("div", {}, curve(bid.energy, cleared), h("p", { class: "note" }, `power by price${cleared === null ? "" : "; the dot is the clearing price"}`))));
}

function details(view) {
  const { bid_id, state, bid, award, delivery } = view;
  const head = h("p", {}, pill(STATES[state] ?? "quiet", state), " ", h("code", {}, bid_id));
  const how = bid
    ? [decision(bid), remarks(bid).length ? sentenceList(remarks(bid), "warn") : null, offer(bid, view.price)]
    : [h("p", { class: "note" }, "The bid itself is older than the records that this process has read.")];
  const again = h("p", { class: "note" }, "To decide it again from the same inputs: ", h("code", {}, `vpp explain ${bid_id}`));
  return [head, outcome(view, (bid ?? award ?? delivery)?.currency ?? ""), ...how, again].filter(Boolean);
}

/** `open(id)` shows a bid; `refresh(signal)` requests the shown one again. */
export function bidPanel() {
  const content = h("div", { class: "stack" });
  const close = h("button", { type: "button", class: "plain", onclick: () => { element.hidden = true; } }, "Close");
  const element = panel("Bid", close, content);
  element.hidden = true;
  let shown = null;

  const load = newest(async (signal, id) => {
    let parts;
    try {
      parts = details(await get(`bids/${encodeURIComponent(id)}`, {}, signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      parts = [h("p", { class: "problem" }, error.message)];
    }
    content.replaceChildren(...parts);
  });

  return {
    element,
    async open(id) {
      shown = id;
      element.hidden = false;
      await load(null, id);
      element.scrollIntoView({ block: "nearest", behavior: "smooth" });
    },
    async refresh(signal) {
      if (!element.hidden) await load(signal, shown);
    },
  };
}
