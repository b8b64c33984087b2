// Pipeline health: each stage's rate and lag, reading ages, and every process.

import { h, panel, table, text, tile } from "../dom.js";
import { count, counted, dateTime, millis, rate, seconds } from "../format.js";
import { get } from "../live.js";

const STAGES = [
  ["gateway", "Gateway", "readings_in", "readings from devices"],
  ["ingest", "Ingest", "canonical", "canonical readings"],
  ["fleet", "Fleet", "windows_closed", "site windows closed"],
  ["region", "Region", "live_out", "live region records"],
  ["web", "Web", "records_applied", "records into this view"],
];
const top = (numbers, show, most = 6) =>
  Object.entries(numbers).filter(([, n]) => n).slice(0, most).map(([name, n]) => h("span", { class: "pair" }, `${name.replaceAll("_", " ")} `, h("b", {}, show(n))));
const DUTY = ["on_duty", "warm", "duty_since_ms"];

/** What a process does now; of a role with standbys, whether this one has the duty. */
function stateWords(p) {
  if (p.state !== "running") return `silent for ${seconds(p.heard_ago_s)}`;
  if (p.gauges.on_duty === undefined) return "running";
  if (!p.gauges.on_duty && !p.gauges.warm) return "reading";
  return `${p.gauges.on_duty ? "on duty" : "standing by"} since ${dateTime(p.gauges.duty_since_ms)}`;
}

const COLUMNS = [
  { label: "Process", kind: "id", cell: (p) => p.process_id },
  { label: "State", cell: (p) => h("span", { class: `pill ${p.state === "running" ? "good" : "bad"}` }, stateWords(p)) },
  { label: "Started", kind: "id", cell: (p) => dateTime(p.started_at_ms) },
  { label: "Rates", cell: (p) => top(p.rates_per_s, rate) },
  { label: "Now", cell: (p) => top(Object.fromEntries(Object.entries(p.gauges).filter(([name]) => !DUTY.includes(name))), (n) => count(n)) },
];

/** One worker may do the work of both (`vpp worker flow`). */
const HALVES = ["ingest", "fleet"];

/** One role of the loop: how many processes run, how fast, and their lag. */
function stage(role, words, counter, unit) {
  const [state, main, note, behind] = [h("span", { class: "pill" }), h("p", { class: "value" }, "–"), h("p", { class: "note" }, unit), h("p", { class: "note" })];
  return {
    element: h("li", { class: "panel" }, h("header", {}, h("h2", {}, words), state), main, note, behind),
    set(health) {
      const does = (p) => p.role === role || (p.role === "flow" && HALVES.includes(role));
      const running = health.processes.filter((p) => does(p) && p.state === "running");
      const lag = health.lag_by_role[role] ?? (HALVES.includes(role) ? health.lag_by_role.flow : undefined);
      state.className = `pill ${running.length ? "good" : "bad"}`;
      text(state, running.length ? `${running.length} running` : "none reports");
      text(main, rate(running.reduce((sum, p) => sum + (p.rates_per_s[counter] ?? 0), 0)));
      text(behind, lag === undefined ? "" : `${counted(lag, "record")} behind`);
    },
  };
}

export function pipelineView() {
  const stages = STAGES.map((words) => stage(...words));
  const ages = { p50: tile("Median, last minute"), p99: tile("p99, last minute"), run50: tile("Median, run"), run99: tile("p99, run") };
  const totals = { in: tile("Readings in"), canonical: tile("Canonical"), rejected: tile("Rejected"), windows: tile("Windows closed"), lag: tile("Lag"), bad: tile("Unreadable records") };
  const basisOfAges = h("span");
  const processes = h("div", { class: "rows" });

  return {
    title: "Pipeline",
    everyMs: 1000,
    element: h("div", { class: "view" }, h("h1", {}, "Pipeline health"),
      h("ol", { class: "stages" }, stages.map((s) => s.element)),
      panel("Age of a reading when its region shows it", basisOfAges, h("dl", { class: "tiles" }, Object.values(ages).map((t) => t.element))),
      panel("Counts", null, h("dl", { class: "tiles" }, Object.values(totals).map((t) => t.element))),
      panel("Processes", null, processes)),
    async refresh(signal) {
      const health = await get("health", {}, signal);
      for (const s of stages) s.set(health);
      const a = health.ages;
      text(basisOfAges, `${counted(a.readings, "reading")} counted`);
      ages.p50.set(millis(a.minute_p50_ms));
      ages.p99.set(millis(a.minute_p99_ms));
      ages.run50.set(millis(a.run_p50_ms));
      ages.run99.set(millis(a.run_p99_ms));
      totals.in.set(count(health.readings_in), rate(health.rates_per_s.readings_in));
      totals.canonical.set(count(health.canonical), rate(health.rates_per_s.canonical));
      totals.rejected.set(count(health.rejected), rate(health.rates_per_s.rejected));
      totals.windows.set(count(health.windows_closed), rate(health.rates_per_s.windows_closed));
      totals.lag.set(count(health.lag), "records behind");
      totals.bad.set(count(Object.values(health.undecodable).reduce((sum, n) => sum + n, 0)), "seen by this process");
      processes.replaceChildren(table("Processes", COLUMNS, health.processes, "No process has reported yet."));
    },
  };
}
