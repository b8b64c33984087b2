// Sites on a map: those that match the filters, many of one place as a cluster. Nothing is loaded from
// another host: there is no picture of the Earth, only a grid of latitude and longitude.

import { remember } from "../address.js";
import { h, text } from "../dom.js";
import { counted } from "../format.js";
import { get, newest } from "../live.js";
import { LEVELS, LEVEL_SIGNS } from "../words.js";
import { siteFilters } from "./site_filters.js";

const LEAFLET = "vendor/leaflet/leaflet";
/** Clusters are about this far apart, pixels. */
const CELL_PX = 80;
const GRID_DEG = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30];
const [MIN_ZOOM, MAX_ZOOM] = [2, 16];
const WORST = ["bad", "warn", "good", "quiet"];

/** Leaflet, loaded when a map is first opened. */
async function leaflet() {
  if (!window.L) {
    document.head.append(h("link", { rel: "stylesheet", href: `${LEAFLET}.css` }));
    await import(`../${LEAFLET}.js`);
  }
  return window.L;
}

/** A site or a cluster: its sign and number say what its colour says. */
function marker(L, one) {
  const worst = WORST.find((level) => one.levels[level]);
  const wrong = one.levels.bad + one.levels.warn;
  const number = one.sites === 1 ? "" : wrong && wrong < one.sites ? `${wrong} of ${one.sites}` : String(one.sites);
  const levels = WORST.filter((level) => one.levels[level]).map((level) => `${one.levels[level]} ${LEVELS[level]}`).join(", ");
  const name = one.site_id ? `${one.site_id}: ${LEVELS[worst]}` : `${counted(one.sites, "site")}: ${levels}`;
  const html = h("span", { class: `pin ${worst}` }, h("b", {}, LEVEL_SIGNS[worst]), number ? h("span", {}, number) : null);
  const icon = L.divIcon({ html, className: "pin-box", iconSize: null });
  const made = L.marker([one.latitude, one.longitude], { icon, title: name, keyboard: true });
  made.on("add", () => made.getElement().setAttribute("aria-label", name));
  return made;
}

/** The lines of latitude and longitude in sight, each with its degrees. */
function drawGrid(L, layer, map) {
  layer.clearLayers();
  const bounds = map.getBounds();
  const span = bounds.getEast() - bounds.getWest();
  const step = GRID_DEG.find((deg) => span / deg <= 8) ?? 30;
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const line = (from, to, words) => {
    L.polyline([from, to], { interactive: false, className: "graticule", weight: 1 }).addTo(layer);
    L.marker(from, { interactive: false, keyboard: false, icon: L.divIcon({ className: "graticule-label", html: h("span", {}, words), iconSize: null }) }).addTo(layer);
  };
  const [south, north] = [Math.max(-85, bounds.getSouth()), Math.min(85, bounds.getNorth())];
  for (let lat = Math.ceil(south / step) * step; lat <= north; lat += step) {
    line([lat, bounds.getWest()], [lat, bounds.getEast()], `${Math.abs(lat).toFixed(digits)}° ${lat < 0 ? "S" : "N"}`);
  }
  for (let lng = Math.ceil(bounds.getWest() / step) * step; lng <= bounds.getEast(); lng += step) {
    line([south, lng], [north, lng], `${Math.abs(lng).toFixed(digits)}° ${lng < 0 ? "W" : "E"}`);
  }
}

function legend() {
  return h("ul", { class: "map-legend", "aria-label": "Legend" }, WORST.map((level) =>
    h("li", {}, h("span", { class: `pin ${level}` }, h("b", {}, LEVEL_SIGNS[level])), ` ${LEVELS[level]}`)));
}

export function mapView(parameters) {
  const filters = siteFilters(parameters, () => load().catch(showProblem));
  const found = h("p", { class: "note", role: "status" });
  const asList = h("a", { href: filters.path("/sites") }, "List");
  const box = h("div", { class: "map", role: "application", "aria-label": "Map of sites: arrow keys move it, + and - change its scale, Tab goes from site to site" });
  const [, latitude, longitude, zoom] = /^(-?[\d.]+),(-?[\d.]+),(\d+)$/.exec(parameters.get("at") ?? "") ?? [];
  let [L, map, grid, pins, starting, drawn] = [null, null, null, null, null, ""];
  let placed = zoom !== undefined;

  async function start() {
    L = await leaflet();
    map = L.map(box, { attributionControl: false, zoomControl: true, minZoom: MIN_ZOOM, maxZoom: MAX_ZOOM, zoomAnimation: false, fadeAnimation: false, markerZoomAnimation: false });
    [grid, pins] = [L.layerGroup().addTo(map), L.layerGroup().addTo(map)];
    if (placed) map.setView([Number(latitude), Number(longitude)], Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, Number(zoom))));
    else map.setView([50, 10], 4);
    map.on("moveend", moved);
    drawGrid(L, grid, map);
  }

  function moved() {
    drawGrid(L, grid, map);
    const { lat, lng } = map.getCenter();
    remember({ at: `${lat.toFixed(4)},${lng.toFixed(4)},${map.getZoom()}` }, { typing: true });
    load().catch(showProblem);
  }

  function showProblem(error) {
    if (error.name !== "AbortError") text(found, error instanceof TypeError ? "The web process does not answer." : error.message);
  }

  /** What is asked for: the part of the Earth in sight, in cells of some pixels. */
  function sight() {
    const bounds = map.getBounds().pad(0.1);
    const within = (value, most) => Math.max(-most, Math.min(most, value));
    return {
      south: within(bounds.getSouth(), 90), north: within(bounds.getNorth(), 90),
      west: within(bounds.getWest(), 180), east: within(bounds.getEast(), 180),
      cell_deg: Math.min(90, (CELL_PX * 360) / (256 * 2 ** map.getZoom())),
    };
  }

  const load = newest(async (signal) => {
    if (map === null) await (starting ??= start().finally(() => { starting = null; }));
    const answer = await get("map", { ...filters.query(), ...sight() }, signal);
    asList.setAttribute("href", filters.path("/sites"));
    const without = answer.without_position ? `; ${counted(answer.without_position, "has", "have")} no position` : "";
    text(found, `${counted(answer.total, "site")}${without}`);
    if (!placed && answer.box) {
      placed = true;
      const [south, west, north, east] = answer.box;
      return map.fitBounds([[south, west], [north, east]], { padding: [40, 40], maxZoom: 12 });
    }
    return show(answer.clusters);
  });

  /** A site leads to its page, a cluster to a larger scale. */
  function enter(one) {
    if (one.site_id) location.hash = `#/sites/${encodeURIComponent(one.site_id)}`;
    else if (map.getZoom() < MAX_ZOOM) map.setView([one.latitude, one.longitude], Math.min(MAX_ZOOM, map.getZoom() + 2));
  }

  /** Markers are drawn again only if they have changed, so that one with the focus keeps it. */
  function show(clusters) {
    const now = JSON.stringify(clusters);
    if (now === drawn) return;
    drawn = now;
    pins.clearLayers();
    for (const one of clusters) {
      const pin = marker(L, one).addTo(pins);
      pin.on("click", () => enter(one));
      pin.on("keydown", ({ originalEvent: { key } }) => { if (key === "Enter") enter(one); });
    }
  }

  return {
    title: "Map",
    everyMs: 5000,
    refresh: load,
    element: h("div", { class: "view" },
      h("div", { class: "title market-title" }, h("h1", {}, "Map of sites"), h("p", { class: "links" }, asList)),
      h("form", { role: "search", onsubmit: (event) => event.preventDefault() },
        h("div", { class: "filters" }, filters.search, filters.region, found), filters.more),
      h("div", { class: "panel" }, box, legend())),
    update({ regions }) {
      filters.setRegions([...regions.keys()].sort());
    },
    leave() {
      filters.stop();
      map?.remove();
    },
  };
}
