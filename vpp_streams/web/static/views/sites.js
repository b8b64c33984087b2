// The fleet explorer: sites by filter and order, a page at a time, with their newest values.

import { addressWith, chosen, remember } from "../address.js";
import { h, refill, table, text } from "../dom.js";
import { ageOf, batteryPhrase, count, counted, dateTime, energy, gridPhrase, number, percent, power } from "../format.js";
import { get, newest, queryOf } from "../live.js";
import { HINDRANCES, LEVELS, LEVEL_SIGNS, OWNERS_CHOICES } from "../words.js";
import { siteFilters } from "./site_filters.js";

const PAGE = 50;
/** Where a row is shown as a card: see style.css. */
const cards = matchMedia("(max-width: 760px)");
/** The columns: the API's sort key, name, kind and cell; without a key it is no order. */
const COLUMNS = [
  ["site_id", "Site", "id", (s) => h("a", { href: `#/sites/${encodeURIComponent(s.site_id)}` }, s.site_id)],
  ["region", "Region", "", (s) => h("a", { href: `#/regions/${encodeURIComponent(s.region)}` }, s.region)],
  ["level", "Condition", "", condition],
  ["connected", "Connected", "number", (s) => h("span", { class: s.connected === s.devices ? "" : "warn-text" }, `${s.connected} of ${s.devices}`)],
  ["commandable", "Commandable", "", commandable],
  ["soc", "Charge", "number", (s) => percent(s.soc)],
  ["battery_w", "Battery", "number", (s) => batteryPhrase(s.battery_w)],
  ["grid_w", "Grid", "number", (s) => gridPhrase(s.grid_w)],
  ["solar_w", "Solar", "number", (s) => power(s.solar_w)],
  ["backup_reserve", "Owner keeps", "", ownersChoice],
  ["received", "Last reading", "number", (s, nowMs) => ageOf(s.received_at_ms, nowMs)],
  ["rated_energy_wh", "Rated", "number", (s) => (s.rated_energy_wh ? `${energy(s.rated_energy_wh)}, ${power(s.rated_discharge_w)}` : s.rated_solar_w ? `${power(s.rated_solar_w)} solar` : "–")],
];
const KEYS = COLUMNS.map(([key]) => key);

function condition(site) {
  const words = site.state === "active" ? `${LEVEL_SIGNS[site.level]} ${LEVELS[site.level]}` : site.state;
  return h("span", {}, h("span", { class: `pill ${site.level}` }, words), site.alarmed ? h("span", { class: "pill bad" }, "alarm") : null);
}

function commandable(site) {
  if (!site.batteries) return "no battery";
  if (site.state !== "active") return "–";
  const share = `${site.commandable} of ${site.batteries}`;
  return site.why ? h("span", { class: "warn-text" }, `${share}: ${HINDRANCES[site.why]}`) : share;
}

/** What is kept for the owner, and what else the owner decided. */
function ownersChoice(site) {
  if (!site.batteries) return "–";
  const words = [
    site.left && OWNERS_CHOICES.left,
    site.paused_until_ms && `paused until ${dateTime(site.paused_until_ms)}`,
    site.skipping && OWNERS_CHOICES.skipping,
    !site.storm_mode && OWNERS_CHOICES.no_storm_mode,
  ].filter(Boolean);
  const kept = `${number(100 * site.backup_reserve, 0, " %")}${site.reserve_raised ? " (raised)" : ""}`;
  return words.length ? h("span", {}, `${kept}, `, h("span", { class: "warn-text" }, words.join(", "))) : kept;
}

export function sitesView(parameters) {
  const filters = siteFilters(parameters, () => { page = 1; load().catch(showProblem); });
  const found = h("p", { class: "note", role: "status" });
  const rows = h("div", { class: "rows" });
  const order = h("select", { "aria-label": "Order by", onchange: () => sortBy(order.value) }, COLUMNS.map(([key, name]) => h("option", { value: key }, `by ${name.toLowerCase()}`)));
  const reverse = h("button", { type: "button", "aria-label": "Reverse the order", onclick: () => sortBy(sort) });
  const file = h("a", { download: "sites.csv" }, "CSV");
  const onMap = h("a", {}, "Map");
  const pages = h("nav", { class: "pages", "aria-label": "Pages" });
  let page = Math.max(1, Number.parseInt(parameters.get("page"), 10) || 1);
  let sort = chosen(parameters, "sort", KEYS, "site_id");
  let descending = parameters.get("order") === "desc";
  let nowMs = Date.now();

  function sortBy(key) {
    descending = key === sort && !descending;
    [sort, page] = [key, 1];
    remember({ sort: sort === "site_id" ? null : sort, order: descending ? "desc" : null, page: null });
    load().catch(showProblem);
  }

  function goTo(number) {
    page = number;
    remember({ page: page === 1 ? null : page });
    load().then(() => rows.scrollIntoView({ block: "nearest" })).catch(showProblem);
  }

  function header([key, name]) {
    const sorted = key === sort ? (descending ? "descending" : "ascending") : null;
    if (cards.matches) return { sorted }; // the header is not seen there
    return { sorted, head: h("button", { type: "button", class: "sort", "data-key": key, onclick: () => sortBy(key) }, name, sorted ? h("span", { "aria-hidden": "true" }, descending ? " ▼" : " ▲") : null) };
  }

  function showPages(total) {
    const last = Math.max(1, Math.ceil(total / PAGE));
    const step = (words, to) => h("button", { type: "button", disabled: to < 1 || to > last || to === page, onclick: () => goTo(to) }, words);
    refill(pages, step("First", 1), step("Previous", page - 1), h("span", { class: "note" }, `page ${count(page)} of ${count(last)}`), step("Next", page + 1), step("Last", last));
    pages.hidden = last === 1 && page === 1;
  }

  function showProblem(error) {
    if (error.name !== "AbortError") text(found, error instanceof TypeError ? "The web process does not answer." : error.message);
  }

  const load = newest(async (signal) => {
    const query = { ...filters.query(), sort, order: descending ? "desc" : "asc" };
    const answer = await get("sites", { ...query, limit: PAGE, offset: (page - 1) * PAGE }, signal);
    if (!answer.sites.length && answer.total) return goTo(Math.ceil(answer.total / PAGE));
    const from = (page - 1) * PAGE;
    text(found, answer.total > PAGE ? `${count(from + 1)} to ${count(from + answer.sites.length)} of ${counted(answer.total, "site")}` : counted(answer.total, "site"));
    const columns = COLUMNS.map((column) => ({ label: column[1], kind: column[2], cell: (s) => column[3](s, nowMs), ...header(column) }));
    refill(rows, table("Sites", columns, answer.sites, "No site matches. Sites are imported into the registry: vpp assets import FILE."));
    showPages(answer.total);
    order.value = sort;
    text(reverse, descending ? "▼" : "▲");
    file.setAttribute("href", `api/v1/sites.csv${queryOf(query)}`);
    onMap.setAttribute("href", filters.path("/map"));
    return undefined;
  });

  return {
    title: "Sites",
    everyMs: 5000,
    refresh: load,
    element: h("div", { class: "view" },
      h("div", { class: "title market-title" }, h("h1", {}, "Sites"), h("p", { class: "links" }, onMap, " ", file)),
      h("form", { role: "search", onsubmit: (event) => event.preventDefault() },
        h("div", { class: "filters" }, filters.search, filters.region, order, reverse, found), filters.more),
      h("div", { class: "panel" }, rows, pages)),
    update({ regions, summary }) {
      nowMs = summary.at_ms;
      filters.setRegions([...regions.keys()].sort());
    },
    leave: filters.stop,
  };
}
