// Reports over history: a day to a lifetime, of regions or a site, as a chart, a table and files.

import { h, panel, table, text } from "../dom.js";
import { count, dateTime, percent } from "../format.js";
import { get, newest } from "../live.js";
import { reportChart } from "../report_chart.js";
import { isDate, spanOf, step, today } from "../report_dates.js";
import { GROUPS, label, periodWords, REPORTS, shown, SPANS } from "./report_words.js";

const PAGE = 100;
const MOST_LINES = 8;
const OWN = new Set(["start", "start_ms", "end_ms"]);
const KEYS = ["region", "site_id", "market", "currency"];
const TYPING_MS = 400;

const option = (value, words) => h("option", { value }, words);
const field = (words, input) => h("label", { class: "field" }, words, input);

/** Links to every report; each keeps the span. */
function chooser(chosen) {
  return h("div", { class: "choice wrap", role: "navigation", "aria-label": "Report" }, Object.entries(REPORTS).map(([name, { name: words }]) =>
    h("a", { class: "pick", href: `#/reports/${name}`, "aria-current": name === chosen ? "page" : null }, words)));
}

/** What the address names, with defaults for what it does not. */
function asked(name, query, tz) {
  const span = query.get("span") in SPANS ? query.get("span") : "month";
  return {
    name, span,
    date: isDate(query.get("date")) ? query.get("date") : today(tz),
    group: query.get("group") in GROUPS ? query.get("group") : SPANS[span][1],
    region: query.get("region") ?? "", site: query.get("site") ?? "",
  };
}

function parametersOf({ span, date, group, region, site }, tz) {
  const bounds = spanOf(span, date);
  return { from: bounds?.[0], to: bounds?.[1], group, region, site, tz };
}

/** Lines of the chart: columns of one subject, or the first column of each. */
function linesOf(report, drawn) {
  const keys = KEYS.filter((key) => report.columns.some((column) => column.name === key));
  const bySubject = new Map();
  for (const row of report.rows) {
    const subject = keys.map((key) => row[key]).join(" · ");
    if (!bySubject.has(subject)) bySubject.set(subject, []);
    bySubject.get(subject).push(row);
  }
  const [first = []] = bySubject.values();
  const column = (name) => report.columns.find((c) => c.name === name);
  const line = (name, words, rows) => ({ name: words, values: rows.map((row) => row[name]), format: (v) => shown(column(name), v, rows[0] ?? {}) });
  const series = bySubject.size > 1
    ? [...bySubject].slice(0, MOST_LINES).map(([subject, rows]) => line(drawn[0], `${subject}: ${label(drawn[0]).toLowerCase()}`, rows))
    : drawn.map((name) => line(name, label(name), first)).filter((s) => s.values.some((v) => v !== null));
  return { starts: first.map((row) => row.start_ms), ends: first.map((row) => row.end_ms), words: (i) => periodWords(first[i], report), series };
}

function columnsOf(report) {
  const period = { label: "Period", cell: (row) => periodWords(row, report) };
  return [period, ...report.columns.filter(({ name }) => !OWN.has(name)).map((column) => ({
    label: label(column.name), kind: KEYS.includes(column.name) || column.name === "final" ? "" : "number",
    cell: (row) => (column.name === "site_id" && row.site_id ? h("a", { href: `#/sites/${encodeURIComponent(row.site_id)}` }, row.site_id) : shown(column, row[column.name], row)),
  }))];
}

/** What was asked, in words. */
function scope({ name, span, date, region, site }, bySite) {
  const bounds = spanOf(span, date);
  const when = bounds === null ? "all of history" : [...new Set(bounds)].map((one) => new Date(one).toLocaleDateString("en-GB", { dateStyle: "medium", timeZone: "UTC" })).join(" to ");
  const regions = { "": name === "forecast" ? "each region" : "all regions together", "*": "each region" }[region] ?? `region ${region}`;
  const of = bySite && site ? (site === "*" ? `each site, ${regions}` : `site ${site}`) : regions;
  return `${when}, ${of}`;
}

/** Coverage and finality of all rows in a sentence. */
function summary(report) {
  const { rows } = report;
  if (!rows.length) return "no row";
  const known = rows.map((row) => row.coverage).filter((c) => c !== null);
  const ends = [...new Set([Math.min(...known), Math.max(...known)].map(percent))];
  const least = known.length ? `coverage ${ends.join(" to ")}` : "coverage not known";
  const open = rows.filter((row) => !row.final).length;
  return `${least} · ${open ? `${count(open)} of ${count(rows.length)} rows are not final` : "every row is final"}`;
}

function controls() {
  const by = {
    span: h("select", {}, Object.entries(SPANS).map(([value, [words]]) => option(value, words))),
    date: h("input", { type: "date", required: true }),
    group: h("select", {}, Object.entries(GROUPS).map(([value, words]) => option(value, words))),
    region: h("select", {}, option("", "All together"), option("*", "Each region")),
    site: h("input", { type: "text", placeholder: "id, or * for each", maxlength: 64, autocomplete: "off" }),
  };
  const before = h("button", { type: "button" }, "Previous");
  const after = h("button", { type: "button" }, "Next");
  const site = field("Site", by.site);
  const form = h("form", { class: "order report-form", onsubmit: (event) => event.preventDefault() },
    field("Span", by.span), field("Date", by.date), before, after, field("Rows", by.group), field("Region", by.region), site);
  return { form, by, before, after, site };
}

export function reportsView(...words) {
  const query = words.at(-1);
  const name = words.length > 1 && words[0] in REPORTS ? words[0] : "energy";
  const { form, by, before, after, site } = controls();
  const [about, basis, until] = [h("p", { class: "note" }), h("span"), h("p", { class: "note" })];
  const scoped = h("p", { class: "scope" });
  const chart = reportChart();
  const rows = h("div", { class: "rows report-rows", tabindex: 0, role: "region", "aria-label": "Rows of the report" });
  const more = h("button", { type: "button", class: "more", hidden: true }, "Show more");
  const files = h("p", { class: "files" });
  const title = h("h1", {}, REPORTS[name].name);
  const chartPanel = panel("Chart", basis, chart.element);
  const tablePanel = panel("Table", files, rows, more, until);
  let [history, now, report, length] = [null, null, null, PAGE];

  function showControls() {
    for (const [key, input] of Object.entries(by)) input.value = now[key];
    if (now.region && by.region.value !== now.region) {
      by.region.append(option(now.region, now.region));
      by.region.value = now.region;
    }
    const lifetime = now.span === "lifetime";
    for (const input of [by.date, before, after]) input.disabled = lifetime;
    site.hidden = !history.reports.find((one) => one.report === name)?.by_site;
  }

  /** Put what is asked into the address, without a new page: the focus stays where it is. */
  function remember() {
    const { span, date, group, region, site: of } = now;
    const kept = new URLSearchParams(Object.entries({ span, date, group, region, site: of }).filter(([, value]) => value));
    globalThis.history.replaceState(null, "", `#/reports/${name}?${kept}`);
    for (const link of element.querySelectorAll(".pick")) link.href = `${link.href.split("?")[0]}?${new URLSearchParams({ span, date, group, region })}`;
  }

  function change(changes) {
    now = { ...now, ...changes };
    length = PAGE;
    showControls();
    load().catch(() => {});
  }

  function showRows() {
    rows.replaceChildren(table(REPORTS[name].name, columnsOf(report), report.rows.slice(0, length), "There is nothing of it in history."));
    more.hidden = report.rows.length <= length;
  }

  function showReport(parameters) {
    text(scoped, scope(now, !site.hidden));
    text(about, `${report.about[0].toUpperCase()}${report.about.slice(1)}. Days are those of ${report.tz}; – is not measured.`);
    text(basis, summary(report));
    const inLedger = name === "earnings" && parameters.site;
    text(until, inLedger ? "Payments to owners, from the ledger. Final rows are of closed months." : report.complete_until_ms ? `History is complete until ${dateTime(report.complete_until_ms)}.` : "It is not known until when history is complete.");
    const link = (format, shownAs) => h("a", { href: `api/v1/reports/${name}?${new URLSearchParams({ ...parameters, format })}`, download: "" }, shownAs);
    files.replaceChildren(link("csv", "CSV"), " ", link("parquet", "Parquet"), " ", h("button", { type: "button", class: "plain", onclick: () => print() }, "Print"));
    showRows();
    chart.set({ ...linesOf(report, REPORTS[name].drawn), zone: report.tz });
  }

  const load = newest(async (signal) => {
    history ??= await get("reports", {}, signal);
    now ??= asked(name, query, history.tz);
    showControls();
    remember();
    const parameters = Object.fromEntries(Object.entries(parametersOf(now, history.tz)).filter(([, value]) => value));
    if (site.hidden) delete parameters.site;
    try {
      report = await get(`reports/${name}`, parameters, signal);
    } catch (error) {
      if (error.name !== "AbortError") text(said, error.message);
      throw error;
    }
    text(said, "");
    showReport(parameters);
  });

  const said = h("p", { class: "said", role: "status" });
  const element = h("div", { class: "view reports" }, h("div", { class: "title" }, title), chooser(name), scoped, about, form, said, chartPanel, tablePanel);

  by.span.addEventListener("change", () => change({ span: by.span.value, group: SPANS[by.span.value][1] }));
  by.date.addEventListener("change", () => { if (isDate(by.date.value)) change({ date: by.date.value }); });
  by.group.addEventListener("change", () => change({ group: by.group.value }));
  by.region.addEventListener("change", () => change({ region: by.region.value }));
  let typing = null;
  by.site.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ site: by.site.value.trim() }), TYPING_MS);
  });
  before.addEventListener("click", () => change({ date: step(now.span, now.date, -1) }));
  after.addEventListener("click", () => change({ date: step(now.span, now.date, 1) }));
  more.addEventListener("click", () => { length += PAGE; showRows(); });

  return {
    title: `${REPORTS[name].name} report`,
    element,
    everyMs: 60_000,
    refresh: load,
    update({ regions }) {
      const known = new Set([...by.region.options].map((one) => one.value));
      for (const region of [...regions.keys()].sort()) if (!known.has(region)) by.region.append(option(region, region));
    },
  };
}
