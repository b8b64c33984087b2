// Sites: search by id and region, a page at a time.

import { h, table, text } from "../dom.js";
import { count, energy, power } from "../format.js";
import { get } from "../live.js";
import { may } from "../session.js";

const PAGE = 50;
const TYPING_MS = 200;
const COLUMNS = [
  { label: "Site", kind: "id", cell: (s) => h("a", { href: `#/sites/${encodeURIComponent(s.site_id)}` }, s.site_id) },
  { label: "Region", cell: (s) => (may("read_region") ? h("a", { href: `#/regions/${encodeURIComponent(s.region)}` }, s.region) : s.region) },
  { label: "State", cell: (s) => h("span", { class: s.state === "active" ? "" : "warn-text" }, s.state) },
  { label: "Devices", cell: (s) => `${s.devices} ${s.kinds.join(", ")}` },
  { label: "Connected", kind: "number", cell: (s) => h("span", { class: s.connected === s.devices ? "" : "warn-text" }, `${s.connected} of ${s.devices}`) },
  { label: "Battery", kind: "number", cell: (s) => (s.rated_energy_wh ? `${energy(s.rated_energy_wh)} · ${power(s.rated_discharge_w)}` : "none") },
  { label: "Solar", kind: "number", cell: (s) => (s.rated_solar_w ? power(s.rated_solar_w) : "none") },
];

export function sitesView(parameters) {
  const search = h("input", { type: "search", placeholder: "Site or device id", "aria-label": "Site or device id", maxlength: 64, value: parameters.get("q") ?? "" });
  const region = h("select", { "aria-label": "Region" }, h("option", { value: "" }, "All regions"));
  const found = h("p", { class: "note", role: "status" });
  const rows = h("div", { class: "rows" });
  const more = h("button", { type: "button", class: "more", hidden: true }, "Show more");
  let sites = [];
  let cursor = null;
  let request = null;

  async function load(next = null) {
    request?.abort();
    request = new AbortController();
    const query = { q: search.value.trim(), region: region.value, limit: PAGE, cursor: next };
    try {
      const page = await get("sites", query, request.signal);
      sites = next === null ? page.sites : [...sites, ...page.sites];
      cursor = page.next_cursor;
      text(found, `${count(page.total)} ${page.total === 1 ? "site" : "sites"}`);
      rows.replaceChildren(table("Sites", COLUMNS, sites, "No site matches. Sites are imported into the registry: vpp assets import FILE."));
      more.hidden = cursor === null;
    } catch (error) {
      if (error.name !== "AbortError") text(found, error.message);
    }
  }

  let typing = null;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => load(), TYPING_MS);
  });
  region.addEventListener("change", () => load());
  more.addEventListener("click", () => load(cursor));
  load();

  return {
    title: "Sites",
    element: h("div", { class: "view" }, h("h1", {}, "Sites"),
      h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() }, search, region, found),
      h("div", { class: "panel" }, rows, more)),
    update({ regions }) {
      const names = [...regions.keys()].sort();
      if (names.length === region.options.length - 1) return;
      const chosen = region.value;
      region.replaceChildren(h("option", { value: "" }, "All regions"), ...names.map((name) => h("option", { value: name }, name)));
      region.value = chosen;
    },
  };
}
