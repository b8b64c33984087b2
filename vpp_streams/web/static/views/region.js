// One region: now, over the last half hour, the day ahead, and its closed windows.

import { chosen, remember } from "../address.js";
import { lineChart } from "../chart.js";
import { h, panel, table, text } from "../dom.js";
import { basis, batteryPhrase, energy, gridPhrase, millis, percent, power, powerSize, span } from "../format.js";
import { get, newest } from "../live.js";
import { alarmStrip } from "./alarms.js";
import { commandsPanel } from "./commands.js";
import { dispatchPanel } from "./dispatch.js";
import { forecastPanel } from "./forecast.js";
import { holdBar } from "./hold.js";
import { charge, deliverableTable, flows } from "./regions.js";
import { requestsPanel } from "./requests.js";
import { commandableBar, standingPill, standingSentences } from "./standing.js";

const POWERS = [
  { name: "Load", tone: "load", key: "load_w", format: power },
  { name: "Solar", tone: "solar", key: "solar_w", format: power },
  { name: "Grid", tone: "grid", key: "grid_w", format: gridPhrase },
  { name: "Battery", tone: "battery", key: "battery_w", format: batteryPhrase },
];
const WINDOW_COLUMNS = [
  { label: "Window", kind: "id", cell: (w) => span(w.start_ms, w.size_s) },
  { label: "Coverage", kind: "number", cell: (w) => percent(w.coverage) },
  { label: "Sites", kind: "number", cell: (w) => `${w.sums.sites_reporting} of ${w.sums.sites_expected}` },
  { label: "Battery", kind: "number", cell: (w) => batteryPhrase(w.mean_battery_w) },
  { label: "Grid", kind: "number", cell: (w) => gridPhrase(w.mean_grid_w) },
  { label: "Solar", kind: "number", cell: (w) => power(w.mean_solar_w) },
  { label: "Load", kind: "number", cell: (w) => power(w.mean_load_w) },
  { label: "Discharged", kind: "number", cell: (w) => energy(w.sums.battery.positive_wh) },
  { label: "Charged", kind: "number", cell: (w) => energy(w.sums.battery.negative_wh) },
  { label: "SoC at end", kind: "number", cell: (w) => percent(w.soc_last) },
];

/** A group of buttons, one of which is chosen. */
export function choice(label, options, chosen, onChoose) {
  const buttons = options.map(([value, words]) => h("button", {
    type: "button", "aria-pressed": String(value === chosen),
    onclick: (event) => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === event.currentTarget));
      onChoose(value);
    },
  }, words));
  return h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

export function regionView(name, parameters) {
  const [state, behind, commandable] = [standingPill(), standingSentences(), commandableBar()];
  const [powers, soc, deliverable] = [flows(), charge(), deliverableTable()];
  const bases = Array.from({ length: 4 }, () => h("span"));
  const ages = h("p", { class: "note" });
  const chart = lineChart({ label: "Powers over the last half hour", series: POWERS, tick: power, height: 280 });
  const socChart = lineChart({
    label: "State of charge over the last half hour", range: [0, 1], height: 180,
    series: [
      { name: "State of charge", tone: "battery", format: percent },
      { name: "Coverage", tone: "load", format: percent },
    ],
    tick: (v) => `${Math.round(v * 100)} %`,
  });
  const strip = alarmStrip(name);
  const dispatch = dispatchPanel();
  const ordered = () => loadDispatch().catch(() => {});
  const requests = requestsPanel(name, () => nowMs, ordered);
  const hold = holdBar(name, ordered);
  const commands = commandsPanel(name, parameters);
  const forecast = forecastPanel(name);
  const windows = h("div", { class: "rows" });
  let sizeS = chosen(parameters, "size", [900, 60], 900);
  let forecastKnownMs = null;
  let shown = "";
  let nowMs = Date.now();

  const loadWindows = newest(async (signal) => {
    const answer = await get(`regions/${encodeURIComponent(name)}/windows`, { size_s: sizeS, limit: 32 }, signal);
    const now = JSON.stringify(answer);
    if (now === shown) return;
    shown = now;
    windows.replaceChildren(table("Closed windows, newest first", WINDOW_COLUMNS, answer.windows,
      "No window of this size has closed yet."));
  });

  const loadDispatch = newest(async (signal) => {
    const answer = await get(`regions/${encodeURIComponent(name)}/dispatch`, { points: 450 }, signal);
    dispatch.show(answer.history);
    requests.show(answer.requests);
    hold.show(answer.requests);
  });

  const sizes = choice("Window size", [[900, "15 min"], [60, "1 min"]], sizeS, (value) => {
    sizeS = value;
    remember({ size: value });
    loadWindows().catch(() => {});
  });
  const element = h("div", { class: "view" },
    h("p", { class: "crumb" }, h("a", { href: "#/regions" }, "Regions")),
    h("div", { class: "title" }, h("h1", {}, name), state.element),
    behind.element,
    hold.element,
    strip.element,
    h("div", { class: "split" },
      panel("Now", bases[0], powers.element, soc.element, commandable.element, ages),
      panel("Deliverable battery power", bases[1], deliverable.element,
        h("p", { class: "note" }, "What the batteries could hold for each duration from now on: within ratings, energy above each owner's reserve and export limits, without those kept for a storm."))),
    dispatch.element,
    requests.element,
    commands.element,
    panel("Power", bases[2], h("p", { class: "note" }, "Battery above zero discharges, grid above zero imports."), chart.element),
    panel("State of charge and coverage", bases[3], socChart.element),
    forecast.element,
    panel("Windows", sizes, h("p", { class: "note" }, "Mean powers and energies of closed windows; late readings correct them."), windows));

  return {
    title: name,
    element,
    everyMs: 2000,
    link: hold.link,
    update({ summary, regions, dispatches, standings, alarms }) {
      nowMs = summary.at_ms;
      strip.set(alarms, nowMs);
      if (dispatches.has(name)) dispatch.update(dispatches.get(name), nowMs);
      state.set(standings.get(name));
      behind.set(standings.get(name), dispatches.get(name));
      commandable.set(dispatches.get(name));
      const region = regions.get(name);
      if (!region) return;
      forecastKnownMs = region.forecast_known_at_ms;
      for (const line of bases) text(line, basis(region));
      powers.set(region);
      soc.set(region);
      deliverable.set(region, dispatches.get(name));
      text(ages, `Reading to region: median ${millis(region.age_p50_ms)}, p99 ${millis(region.age_p99_ms)} · ${region.partitions_reporting} of ${region.partitions_expected} partitions`);
    },
    async refresh(signal) {
      const history = await get(`regions/${encodeURIComponent(name)}/history`, { points: 450 }, signal);
      chart.set(history.at_ms, POWERS.map((s) => history[s.key]));
      socChart.set(history.at_ms, [history.soc, history.coverage]);
      await Promise.all([
        loadWindows(signal), loadDispatch(signal), requests.refresh(signal), commands.refresh(signal), forecast.refresh(forecastKnownMs, nowMs, signal),
      ]);
    },
  };
}
