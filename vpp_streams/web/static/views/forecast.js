// A region's load and solar power for the day ahead, each with its band and its recent accuracy.

import { lineChart } from "../chart.js";
import { h, panel, text } from "../dom.js";
import { clockSeconds, counted, percent, power } from "../format.js";
import { get } from "../live.js";

/** The part of a forecast that is ahead is marked again after this long. */
const AGAIN_MS = 20_000;
const QUANTITIES = [["load", "Load"], ["solar", "Solar"]];
const BY = {
  lear: "Regression on the days before",
  profile: "Mean of the last days, by time of day",
  persistence: "The last value, because less than a day is known",
};
const bandPhrase = (band) => (band ? `${power(band[0])} to ${power(band[1])}` : "–");

function accuracyPhrase(accuracy) {
  if (!accuracy) return "nothing that it forecast has been measured yet";
  const naive = accuracy.naive_error_w === null ? "" : `, yesterday's values by ${power(accuracy.naive_error_w)}`;
  const slots = counted(accuracy.slots, "slot");
  return `over the last day it missed ${slots} by ${power(accuracy.error_w)} on average${naive}; ${percent(accuracy.inside)} were inside 10–90 %`;
}

function quantityChart(key, name) {
  const chart = lineChart({
    label: `${name}, forecast`, tick: power, height: 180,
    series: [
      { name: "10–90 %", tone: "forecast", shape: "band", format: bandPhrase },
      { name, tone: key, shape: "step", format: power },
    ],
  });
  const words = h("p", { class: "note" });
  return {
    element: h("div", {}, chart.element, words),
    set(times, quantity, steps) {
      chart.set(times, [quantity.low_w.map((low, i) => [low, quantity.high_w[i]]), quantity.mean_w], steps);
      text(words, `${BY[quantity.by] ?? quantity.by}; ${accuracyPhrase(quantity.accuracy)}.`);
    },
  };
}

/** `refresh(knownAtMs, nowMs, signal)` shows the forecast of that time; null = there is none yet. */
export function forecastPanel(region) {
  const known = h("span");
  const none = h("p", { class: "empty" }, "No forecast yet: the first follows the first quarter of an hour.");
  const charts = new Map(QUANTITIES.map(([key, name]) => [key, quantityChart(key, name)]));
  const split = h("div", { class: "split", hidden: true }, [...charts.values()].map((chart) => chart.element));
  let [forecast, shownMs] = [null, -Infinity];

  function show(nowMs) {
    [none.hidden, split.hidden] = [true, false];
    const stepMs = forecast.slot_s * 1000;
    const times = forecast.load.mean_w.map((_, i) => forecast.start_ms + i * stepMs);
    for (const [key, chart] of charts) chart.set(times, forecast[key], { stepMs, nowMs });
    text(known, `from what was known at ${clockSeconds(forecast.known_at_ms)}`);
  }

  return {
    element: panel("Load and solar ahead", known, none, split),
    async refresh(knownAtMs, nowMs, signal) {
      if (knownAtMs === null) return;
      const isNew = forecast?.known_at_ms !== knownAtMs;
      if (!isNew && nowMs - shownMs < AGAIN_MS) return;
      if (isNew) forecast = await get(`regions/${encodeURIComponent(region)}/forecast`, {}, signal);
      shownMs = nowMs;
      show(nowMs);
    },
  };
}
