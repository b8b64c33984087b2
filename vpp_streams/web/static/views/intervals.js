// The charts of a market's intervals: prices and their forecast, power by plan, award and measurement, money.

import { lineChart } from "../chart.js";
import { money, number, power, price } from "../format.js";

const HOUR_MS = 3_600_000;
const bandPhrase = (band) => (band ? `${price(band[0])} to ${price(band[1])}` : "–");
const PRICES = [
  { name: "Forecast 10–90 %", tone: "forecast", shape: "band", format: bandPhrase },
  { name: "Forecast", tone: "forecast", shape: "step", format: price },
  { name: "Price", tone: "price", shape: "step", format: price },
];
const POWERS = [
  { name: "Award", tone: "award", shape: "step", format: power },
  { name: "Measured", tone: "measured", shape: "step", format: power },
  { name: "Plan", tone: "plan", shape: "step", format: power },
];

/** Starts of the intervals that are planned but not listed, as many hours ahead as the view shows back. */
function plannedStarts({ intervals, plan }, hours) {
  if (!plan) return new Map();
  const endMs = (intervals.start_ms.at(-1) ?? plan.start_ms) + hours * HOUR_MS;
  const starts = plan.power_w.map((_, k) => plan.start_ms + k * plan.interval_ms);
  return new Map(starts.map((start, k) => [start, k]).filter(([start]) => start < endMs));
}

/** Intervals, followed by planned ones, as one row of times with columns. */
function joined(view, hours) {
  const { intervals, plan } = view;
  const known = new Map(intervals.start_ms.map((start, i) => [start, i]));
  const ahead = plannedStarts(view, hours);
  const times = [...new Set([...known.keys(), ...ahead.keys()])].sort((a, b) => a - b);
  const past = (column) => times.map((start) => (known.has(start) ? intervals[column][known.get(start)] : null));
  const planned = (column) => times.map((start) => plan?.[column]?.[ahead.get(start)] ?? null);
  const both = (column, then) => {
    const after = planned(then);
    return past(column).map((value, i) => value ?? after[i]);
  };
  const [low, high] = [both("price_low", "price_low"), both("price_high", "price_high")];
  const band = low.map((l, i) => (l === null || high[i] === null ? null : [l, high[i]]));
  return {
    times,
    prices: [band, both("price_mid", "price"), past("price")],
    powers: [past("awarded_w"), past("measured_w"), both("plan_w", "power_w")],
  };
}

/** Ends of settled intervals, and the money earned by then. */
function earnings({ intervals, interval_ms }) {
  const settled = intervals.start_ms.map((_, i) => i).filter((i) => intervals.money_sum[i] !== null);
  return [settled.map((i) => intervals.start_ms[i] + interval_ms), [settled.map((i) => intervals.money_sum[i])]];
}

/** Three charts; `set(view, hours, nowMs)` with a MarketView of `hours` hours. */
export function marketCharts() {
  let currency = "";
  const prices = lineChart({ label: "Price of energy and its forecast", series: PRICES, tick: number, height: 280 });
  const powers = lineChart({ label: "Plan, award and measured power", series: POWERS, tick: power, height: 260 });
  const earned = lineChart({
    label: "Money earned, added up", height: 220,
    series: [{ name: "Earned", tone: "money", format: (v) => money(v, currency) }],
    tick: number,
  });
  return {
    prices: prices.element,
    powers: powers.element,
    money: earned.element,
    set(view, hours, nowMs) {
      currency = view.currency;
      const columns = joined(view, hours);
      const steps = { stepMs: view.interval_ms, nowMs };
      prices.set(columns.times, columns.prices, steps);
      powers.set(columns.times, columns.powers, steps);
      earned.set(...earnings(view));
    },
  };
}
