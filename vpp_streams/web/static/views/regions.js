// Regions now: a card for each, and the figures of the loop above them.

import { addressWith } from "../address.js";
import { sparkline } from "../chart.js";
import { bar, h, text, tile } from "../dom.js";
import { basis, batteryWord, count, counted, duration, energy, gridWord, millis, percent, power, powerSize } from "../format.js";
import { get, newest } from "../live.js";
import { alarmStrip } from "./alarms.js";
import { commandableBar, standingPill, standingSentences } from "./standing.js";

/** The series in a card's small chart. */
const TREND = ["battery", "grid"];

/** The numbers of the complete loop, as tiles. */
export function pulse() {
  const tiles = {
    devices: tile("Devices connected"),
    readings: tile("Readings in"),
    rejected: tile("Rejected"),
    windows: tile("Windows closed"),
    age: tile("Reading to region, p99"),
    lag: tile("Lag"),
  };
  return {
    element: h("dl", { class: "tiles pulse" }, Object.values(tiles).map((t) => t.element)),
    set(summary) {
      tiles.devices.set(count(summary.devices_connected));
      tiles.readings.set(count(summary.readings_in), `${count(summary.canonical)} canonical`);
      const share = summary.readings_in ? summary.rejected / summary.readings_in : 0;
      tiles.rejected.set(count(summary.rejected), `${(100 * share).toFixed(2)} % of readings`);
      tiles.windows.set(count(summary.windows_closed));
      tiles.age.set(millis(summary.age_p99_ms), `median ${millis(summary.age_p50_ms)}`);
      tiles.lag.set(count(summary.lag), "records behind");
    },
  };
}

/** What can be requested from a region: of its commandable devices, if the region role reports it. */
function capability(region, dispatch) {
  return dispatch?.status && !dispatch.stale ? dispatch.status.capability : region.deliverable;
}

/** Deliverable power by duration as a small table with bars; `set(region, dispatch)` fills it. */
export function deliverableTable() {
  const body = h("tbody");
  const element = h("table", { class: "deliverable plain" },
    h("caption", { class: "unseen" }, "Battery power that can be held"),
    h("thead", {}, h("tr", {}, ["Held for", "Up", "Down"].map((word, i) => h("th", { scope: "col", class: i && "number" }, word)))),
    body);
  let before = "";
  return {
    element,
    set(region, dispatch) {
      const held = capability(region, dispatch);
      const now = JSON.stringify(held);
      if (now === before) return;
      before = now;
      const most = Math.max(1, ...held.flatMap((d) => [d.up_w, d.down_w]));
      const cell = (w, tone) => {
        const size = bar(tone);
        size.set(w / most);
        return h("td", { class: "number" }, powerSize(w), size.element);
      };
      body.replaceChildren(...held.map((d) =>
        h("tr", {}, h("th", { scope: "row" }, duration(d.duration_s)), cell(d.up_w, "battery"), cell(d.down_w, "load"))));
    },
  };
}

function flow(name, tone) {
  const value = h("dd", { class: "value" }, "–");
  const word = h("dd", { class: "word" });
  return {
    element: h("div", { class: `flow ${tone}` }, h("dt", {}, h("span", { class: "swatch", "aria-hidden": "true" }), name), value, word),
    set(shown, words = "") { text(value, shown); text(word, words); },
  };
}

/** The four powers of an aggregate, signs in words. */
export function flows() {
  const parts = { battery: flow("Battery", "battery"), grid: flow("Grid", "grid"), solar: flow("Solar", "solar"), load: flow("Load", "load") };
  return {
    element: h("dl", { class: "flows" }, Object.values(parts).map((p) => p.element)),
    set(region) {
      parts.battery.set(powerSize(region.battery_w), batteryWord(region.battery_w));
      parts.grid.set(powerSize(region.grid_w), gridWord(region.grid_w));
      parts.solar.set(power(region.solar_w), region.solar_w === null ? "not measured" : "generating");
      parts.load.set(power(region.load_w), region.load_w === null ? "not measured" : "consuming");
    },
  };
}

/** State of charge: percent, energy and a bar. */
export function charge() {
  const value = h("span", { class: "value" }, "–");
  const stored = h("span", { class: "note" });
  const level = bar("battery");
  return {
    element: h("div", { class: "charge" }, h("p", {}, h("span", { class: "label" }, "State of charge"), value, stored), level.element),
    set(region) {
      text(value, percent(region.soc));
      text(stored, `${energy(region.stored_wh)} of ${energy(region.usable_wh)}`);
      level.set(region.soc);
    },
  };
}

function card(name) {
  const [state, behind, commandable] = [standingPill(), standingSentences(), commandableBar()];
  const [powers, soc, deliverable] = [flows(), charge(), deliverableTable()];
  const incidents = h("p", { class: "sentences warn", hidden: true }, h("a", { href: addressWith({ state: "open", region: name }, "/incidents") }));
  const bases = [h("p", { class: "basis" }), h("p", { class: "basis" })];
  const trend = sparkline({ label: `${name}: battery and grid power over the last half hour`, tones: TREND });
  const element = h("article", { class: "panel card" },
    h("header", {}, h("h2", {}, h("a", { href: `#/regions/${encodeURIComponent(name)}` }, name)), state.element),
    behind.element, incidents, bases[0], powers.element,
    h("figure", { class: "trend" }, trend.element, h("figcaption", {}, "Battery and grid, last half hour")),
    soc.element, commandable.element,
    h("h3", {}, "Deliverable battery power"), bases[1], deliverable.element);
  return {
    element,
    set(region, dispatch, standing, open = 0) {
      incidents.hidden = open === 0;
      text(incidents.firstChild, counted(open, "open incident"));
      state.set(standing);
      behind.set(standing, dispatch);
      commandable.set(dispatch);
      for (const line of bases) text(line, basis(region));
      powers.set(region);
      soc.set(region);
      deliverable.set(region, dispatch);
    },
    refresh: newest(async (signal) => {
      const history = await get(`regions/${encodeURIComponent(name)}/history`, { points: 120 }, signal);
      trend.set(history.at_ms, TREND.map((tone) => history[`${tone}_w`]));
    }),
  };
}

export function regionsView() {
  const cards = new Map();
  const top = pulse();
  const strip = alarmStrip();
  const grid = h("div", { class: "cards" });
  const empty = h("p", { class: "empty" }, "No region has reported yet. Regions appear here as soon as their sites send readings.");
  const element = h("div", { class: "view" }, h("h1", {}, "Regions now"), strip.element, top.element, empty, grid);
  return {
    title: "Regions now",
    element,
    everyMs: 5000,
    refresh: (signal) => Promise.all([...cards.values()].map((one) => one.refresh(signal))),
    update({ summary, regions, dispatches, standings, incidents, alarms }) {
      top.set(summary);
      strip.set(alarms, summary.at_ms);
      empty.hidden = regions.size > 0;
      for (const name of [...regions.keys()].sort()) {
        if (!cards.has(name)) {
          cards.set(name, card(name));
          cards.get(name).refresh().catch(() => {});  // the next refresh requests it again
          grid.replaceChildren(...[...cards.keys()].sort().map((key) => cards.get(key).element));
        }
        cards.get(name).set(regions.get(name), dispatches.get(name), standings.get(name), incidents.get(name));
      }
    },
  };
}
