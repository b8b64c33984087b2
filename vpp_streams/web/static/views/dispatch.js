// A region's dispatch: requested, allocated and measured power, devices by state, and causes of missing power.

import { lineChart } from "../chart.js";
import { h, panel, text, tile } from "../dom.js";
import { batteryPhrase, left, percent, power, seconds } from "../format.js";
import { causeSentence, missingWords, modeWords, noticeSentence, stateWord, stormSentence, toneOf } from "../words.js";
import { sentences } from "./sentences.js";
import { shareBar } from "./shares.js";

const SERIES = [
  { name: "Allocated", tone: "allocated", key: "allocated_w", format: power },
  { name: "Measured", tone: "measured", key: "measured_w", format: power },
  { name: "Requested", tone: "asked", key: "asked_w", format: power },
];
/** Without a request, the region reports only every few seconds. */
const GAP_MS = 15_000;

/** `update(now, nowMs)` with a DispatchNow, `show(history)` with a DispatchHistory. */
export function dispatchPanel() {
  const mode = h("span", { class: "pill" });
  const partitions = h("span");
  const tiles = { asked: tile("Requested"), allocated: tile("Allocated"), measured: tile("Measured"), error: tile("Error"), left: tile("Ends in") };
  const bar = shareBar(toneOf, stateWord);
  const [notices, causes, storm] = [sentences("warn"), sentences(""), sentences("")];
  const why = h("h3", {}, "Power that cannot be delivered");
  const chart = lineChart({ label: "Battery power: requested, allocated and measured over the last half hour", series: SERIES, tick: power, height: 260, gapMs: GAP_MS });
  const content = h("div", { class: "stack", hidden: true },
    h("dl", { class: "tiles" }, Object.values(tiles).map((t) => t.element)),
    notices.element, storm.element, bar.element, h("div", {}, why, causes.element));
  const empty = h("p", { class: "empty" }, "There is no record of this region's dispatch yet.");
  const element = panel("Dispatch", h("span", { class: "basis" }, mode, " ", partitions), empty, content, chart.element);

  return {
    element,
    update(now, nowMs) {
      const status = now.status;
      empty.hidden = status !== null;
      content.hidden = status === null;
      if (status === null) return;
      mode.className = `pill ${now.stale ? "bad" : { hold: "bad", idle: "quiet" }[status.mode] ?? "good"}`;
      text(mode, now.stale ? `No report for ${seconds(now.heard_ago_s)}` : modeWords(status));
      text(partitions, `${status.partitions_heard} of ${status.partitions_expected} partitions`);
      const requestedW = status.asked_w ?? null;
      tiles.asked.set(requestedW === null ? "–" : power(requestedW), requestedW === null ? "nothing" : batteryPhrase(requestedW).split(" ")[0]);
      tiles.allocated.set(power(status.allocated_w ?? null));
      tiles.measured.set(power(status.measured_w), batteryPhrase(status.measured_w).split(" ")[0]);
      const error = requestedW ? Math.abs(status.measured_w - requestedW) / Math.abs(requestedW) : null;
      tiles.error.set(error === null ? "–" : percent(error), missingWords(status));
      tiles.left.set(status.ends_at_ms ? left((status.ends_at_ms - nowMs) / 1000) : "–", status.request_id ?? "");
      bar.set(status.states);
      notices.set(now.notices.map((notice) => noticeSentence(notice, nowMs, Boolean(status.causes?.length))));
      storm.set(status.storm ? [stormSentence(status.storm)] : []);
      why.hidden = !status.causes?.length;
      causes.set((status.causes ?? []).map((cause) => causeSentence(cause, requestedW)));
    },
    show(history) {
      chart.set(history.at_ms, SERIES.map((s) => history[s.key]));
    },
  };
}
