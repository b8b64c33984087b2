// Pipeline health: each stage's rate and lag, reading ages, and every process.

import { h, panel, table, text, tile } from "../dom.js";
import { count, dateTime, millis, rate, seconds } from "../format.js";
import { get } from "../live.js";

const STAGES = [
  ["gateway", "Gateway", "readings_in", "readings in"],
  ["ingest", "Ingest", "canonical", "canonical"],
  ["fleet", "Fleet", "windows_closed", "windows closed"],
  ["region", "Region", null, "regions merged"],
  ["web", "Web", null, "this dashboard"],
];
const top = (numbers, show, most = 6) =>
  Object.entries(numbers).filter(([, n]) => n).slice(0, most).map(([name, n]) => h("span", { class: "pair" }, `${name.replaceAll("_", " ")} `, h("b", {}, show(n))));
const COLUMNS = [
  { label: "Process", cell: (p) => p.process_id },
  { label: "State", cell: (p) => h("span", { class: `pill ${p.state === "running" ? "good" : "bad"}` }, p.state === "running" ? "running" : `silent for ${seconds(p.heard_ago_s)}`) },
  { label: "Started", cell: (p) => dateTime(p.started_at_ms) },
  { label: "Rates", cell: (p) => top(p.rates_per_s, rate) },
  { label: "Now", cell: (p) => top(p.gauges, (n) => count(n)) },
];

function stage(words, unit) {
  const [state, main, note] = [h("span", { class: "pill" }), h("p", { class: "value" }, "–"), h("p", { class: "note" })];
  return {
    element: h("li", { class: "panel" }, h("header", {}, h("h3", {}, words), state), main, note),
    set(processes, perS, lag) {
      const running = processes.filter((p) => p.state === "running").length;
      state.className = `pill ${running ? "good" : "bad"}`;
      text(state, running ? `${running} running` : "none heard");
      text(main, perS === null ? unit : `${rate(perS)} ${unit}`);
      text(note, lag === undefined ? "" : `${count(lag)} records behind`);
    },
  };
}

export function pipelineView() {
  const stages = STAGES.map(([role, words, counter, unit]) => ({ role, counter, ...stage(words, unit) }));
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
      for (const s of stages) {
        s.set(health.processes.filter((p) => p.role === s.role), s.counter && (health.rates_per_s[s.counter] ?? 0), health.lag_by_role[s.role]);
      }
      const a = health.ages;
      text(basisOfAges, `${count(a.readings)} readings counted`);
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
      processes.replaceChildren(table("Processes", COLUMNS, health.processes, "No process has been heard of yet."));
    },
  };
}
