// One site: its devices now (from the fleet worker that has them), its record, its windows.

import { lineChart } from "../chart.js";
import { chosen, remember } from "../address.js";
import { h, panel, refill, table, text } from "../dom.js";
import { batteryPhrase, clockSeconds, count, counted, energy, gridPhrase, number, percent, power, seconds, span } from "../format.js";
import { get, newest } from "../live.js";
import { may } from "../session.js";
import { setpointPhrase, stateWord, toneOf } from "../words.js";
import { choice } from "./region.js";
import { storyPanel } from "./story.js";

/** Windows in the table; the chart has all of them. */
const SHOWN = 15;
const QUALITY = ["ok", "estimated", "missing", "bad"];
const POWERS = [
  { name: "Load", tone: "load", key: "load", format: power },
  { name: "Solar", tone: "solar", key: "solar", format: power },
  { name: "Grid", tone: "grid", key: "grid", format: gridPhrase },
  { name: "Battery", tone: "battery", key: "battery", format: batteryPhrase },
];
const mean = (stats) => (stats ? stats.mean_w : null);
const WINDOW_COLUMNS = [
  { label: "Window", kind: "id", cell: (w) => span(w.start_ms, w.size_s) },
  { label: "Coverage", kind: "number", cell: (w) => percent(w.coverage) },
  { label: "Readings", kind: "number", cell: (w) => count(w.readings) },
  { label: "Battery", kind: "number", cell: (w) => batteryPhrase(mean(w.battery)) },
  { label: "Grid", kind: "number", cell: (w) => gridPhrase(mean(w.grid)) },
  { label: "Solar", kind: "number", cell: (w) => power(mean(w.solar)) },
  { label: "Load", kind: "number", cell: (w) => power(mean(w.load)) },
  { label: "SoC at end", kind: "number", cell: (w) => percent(w.soc?.last) },
  { label: "Revision", kind: "number", cell: (w) => (w.revision ? `corrected ×${w.revision}` : "first") },
];

function gridTie(device) {
  const island = { true: "islanded", 1: "islanded", false: "on grid", 0: "on grid" }[device.islanded];
  const parts = [number(device.frequency_hz, 2, " Hz"), number(device.voltage_v, 1, " V"), island ?? "–"];
  return parts.filter((part) => part !== "–").join(" · ") || "–";
}

/** A device's newest command while its lease may apply. */
function desired({ desired: command }) {
  if (!command) return "self-consumption";
  return h("span", {}, `${setpointPhrase(command.setpoint_w)} until ${clockSeconds(command.valid_until_ms)} `,
    h("span", { class: `pill ${toneOf(command.state)}` }, stateWord(command.state)));
}

/** How a device is connected: one with a battery that takes no setpoint is not green. */
function connection(presence, device) {
  if (presence?.status !== "connected") return h("span", { class: "pill bad" }, "not connected");
  const only = presence.measures_only && device?.rated_energy_wh;
  return h("span", { class: `pill ${only ? "warn" : "good"}` }, only ? "connected, measured only" : "connected");
}

function deviceColumns(streamTimeMs, presenceOf, recordOf) {
  const age = (d) => (d.measured_at_ms === null || !streamTimeMs ? "" : ` · ${seconds(Math.max(0, streamTimeMs - d.measured_at_ms) / 1000)} old`);
  const repeated = (d) => (d.duplicates ? `, ${count(d.duplicates)} repeated` : "");
  return [
    { label: "Device", kind: "id", cell: (d) => d.device_id },
    { label: "Connection", cell: (d) => connection(presenceOf.get(d.device_id), recordOf.get(d.device_id)) },
    { label: "Measured", kind: "id", cell: (d) => `${clockSeconds(d.measured_at_ms)}${age(d)}` },
    { label: "Reported", kind: "number", cell: (d) => batteryPhrase(d.battery_w) },
    { label: "Desired", cell: desired },
    { label: "SoC", kind: "number", cell: (d) => percent(d.soc) },
    { label: "Grid", kind: "number", cell: (d) => gridPhrase(d.grid_w) },
    { label: "Solar", kind: "number", cell: (d) => power(d.solar_w) },
    { label: "Load", kind: "number", cell: (d) => power(d.load_w) },
    { label: "Temp.", kind: "number", cell: (d) => number(d.temperature_c, 1, " °C") },
    { label: "Grid tie", cell: gridTie },
    { label: "Quality", cell: (d) => `${QUALITY[d.quality] ?? d.quality ?? "–"} · ${counted(d.readings, "reading")}${repeated(d)}` },
  ];
}

const RECORD_COLUMNS = [
  { label: "Device", kind: "id", cell: (d) => d.device_id },
  { label: "Kind", cell: (d) => `${d.kind}${d.model ? ` (${d.model})` : ""}` },
  { label: "Energy", kind: "number", cell: (d) => (d.rated_energy_wh ? energy(d.rated_energy_wh) : "none") },
  { label: "Charge", kind: "number", cell: (d) => (d.rated_charge_w ? power(d.rated_charge_w) : "none") },
  { label: "Discharge", kind: "number", cell: (d) => (d.rated_discharge_w ? power(d.rated_discharge_w) : "none") },
  { label: "Solar", kind: "number", cell: (d) => (d.rated_solar_w ? power(d.rated_solar_w) : "none") },
];

/** The site; null if the id is that of a device, whose site's page is then opened in its place. */
async function detailOf(siteId, signal) {
  try {
    return await get(`sites/${encodeURIComponent(siteId)}`, {}, signal);
  } catch (error) {
    if (error.status !== 404) throw error;
    const { sites: [site] } = await get("sites", { device: siteId, limit: 1 }, signal);
    if (!site) throw error;
    location.replace(`#/sites/${encodeURIComponent(site.site_id)}?device=${encodeURIComponent(siteId)}`);
    return null;
  }
}

export function siteView(siteId, parameters) {
  const path = `sites/${encodeURIComponent(siteId)}`;
  const facts = h("p", { class: "facts" });
  const twin = h("div", { class: "rows" });
  const twinBasis = h("span");
  const record = h("div", { class: "rows" });
  const story = storyPanel(parameters);
  const windows = h("div", { class: "rows" });
  const covered = h("span");
  const chart = lineChart({ label: "Mean power by window", series: POWERS, tick: power, height: 260 });
  let sizeS = chosen(parameters, "size", [60, 900], 60);
  let nowMs = Date.now();

  function showSite({ site, state, presence, twin: now, twin_error: error }) {
    const limit = site.export_limit_w === undefined || site.export_limit_w === null ? "no export limit" : `export limit ${power(site.export_limit_w)}`;
    facts.replaceChildren("Region ", may("read_region") ? h("a", { href: `#/regions/${encodeURIComponent(site.region)}` }, site.region) : site.region,
      ` · ${state} · backup reserve ${percent(site.backup_reserve ?? 0.2)} · ${limit}`);
    const presenceOf = new Map(presence.map((p) => [p.device_id, p]));
    const recordOf = new Map((site.devices ?? []).map((d) => [d.device_id, d]));
    record.replaceChildren(table("Devices in the registry", RECORD_COLUMNS, site.devices ?? [], "This site has no device."));
    if (error) {
      text(twinBasis, "");
      twin.replaceChildren(h("p", { class: "problem" }, `The newest readings cannot be shown: ${error}.`));
      return;
    }
    text(twinBasis, `${now.devices.length} of ${counted((site.devices ?? []).length, "device has", "devices have")} reported`);
    twin.replaceChildren(table("Newest reading of each device", deviceColumns(now.stream_time_ms, presenceOf, recordOf), now.devices, "No device has reported yet."));
  }

  function showWindows(answer) {
    const oldestFirst = [...answer.windows].reverse();
    chart.set(oldestFirst.map((w) => w.start_ms), POWERS.map((s) => oldestFirst.map((w) => mean(w[s.key]))));
    const newest = answer.windows[0];
    text(covered, newest ? `newest ${percent(newest.coverage)} covered · closed ${seconds(Math.max(0, nowMs - newest.start_ms - 1000 * newest.size_s) / 1000)} ago` : "");
    refill(windows, table("Closed windows, newest first", WINDOW_COLUMNS, answer.windows.slice(0, SHOWN), "No window of this size has closed yet."));
  }

  const loadWindows = newest(async (signal) => showWindows(await get(`${path}/windows`, { size_s: sizeS }, signal)));
  const sizes = choice("Window size", [[60, "1 min"], [900, "15 min"]], sizeS, (value) => {
    sizeS = value;
    remember({ size: value });
    loadWindows().catch(() => {});
  });

  return {
    title: siteId,
    everyMs: 2000,
    element: h("div", { class: "view" },
      h("p", { class: "crumb" }, h("a", { href: "#/sites" }, "Sites")),
      h("h1", {}, siteId), facts,
      panel("Devices now", twinBasis, twin),
      story.element,
      panel("Power by window", covered, sizes, chart.element, h("h3", {}, "Newest windows"), windows),
      panel("Registry", null, record)),
    update({ summary }) {
      nowMs = summary.at_ms;
    },
    async refresh(signal) {
      const detail = await detailOf(siteId, signal);
      if (detail === null) return;
      showSite(detail);
      await loadWindows(signal);
      await story.refresh(detail.site.devices ?? [], signal);
    },
  };
}
