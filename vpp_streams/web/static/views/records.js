// Refused records of the plant's own topics: why each was refused, and its bytes.

import { h, text } from "../dom.js";
import { count, dateTime } from "../format.js";
import { get } from "../live.js";

const LIMIT = 100;

export function recordsView() {
  const lately = h("p", { role: "status" });
  const counts = h("p", { class: "note" });
  const list = h("ol", { class: "rejects" });
  const entries = new Map();

  function entry(row) {
    return h("li", {},
      h("div", { class: "what" }, h("span", { class: "pill warn" }, row.reason), h("time", {}, dateTime(row.at_ms))),
      h("p", { class: "detail" }, row.detail),
      h("p", { class: "note" }, `${row.topic}/${row.partition} @ ${row.offset} · written ${dateTime(row.written_at_ms)} · refused by ${row.process}`),
      h("details", {}, h("summary", {}, `Received bytes (${count(row.original_bytes)})`), h("pre", { tabindex: 0 }, row.original)));
  }

  async function load(signal) {
    const page = await get("records/rejected", { limit: LIMIT }, signal);
    text(lately, page.lately ? `${count(page.lately)} refused in the last 5 minutes.` : "None was refused in the last 5 minutes.");
    text(counts, Object.entries(page.counts).map(([topic, n]) => `${topic}: ${count(n)}`).join(" · "));
    // A known entry keeps its element, so that what a person opened stays open.
    const kept = new Map(page.rejected.map((row) => [row.rejected_id, entries.get(row.rejected_id) ?? entry(row)]));
    const same = kept.size === entries.size && [...kept.keys()].every((id) => entries.has(id));
    entries.clear();
    for (const [id, element] of kept) entries.set(id, element);
    if (!same) list.replaceChildren(...kept.values());
  }

  return {
    title: "Refused records",
    everyMs: 2000,
    refresh: load,
    element: h("div", { class: "view" }, h("h1", {}, "Refused records"),
      h("p", { class: "note" }, `Records of the plant's own topics that processes refused: the newest ${LIMIT}. Each points to a fault in the program that wrote it, or in ours.`),
      lately, counts, list),
  };
}
