// Rejected readings: why each was rejected, and its bytes.

import { remember } from "../address.js";
import { h, text } from "../dom.js";
import { count, dateTime } from "../format.js";
import { get, newest } from "../live.js";

const LIMIT = 100;

export function rejectedView(parameters) {
  const chips = h("div", { class: "choice wrap", role: "group", "aria-label": "Reason" });
  const list = h("ol", { class: "rejects" });
  const empty = h("p", { class: "empty", hidden: true }, "Nothing was rejected in the last hour.");
  const entries = new Map();
  let reason = parameters.get("reason") ?? "";
  let shown = "";

  function entry(row) {
    const where = [row.device_id ?? "unknown device", row.site_id ? h("a", { href: `#/sites/${encodeURIComponent(row.site_id)}` }, row.site_id) : "unknown site"];
    return h("li", {},
      h("div", { class: "what" }, h("span", { class: "pill warn" }, row.reason), h("time", {}, dateTime(row.received_at_ms))),
      h("p", { class: "detail" }, row.detail),
      h("p", { class: "note" }, where[0], " · ", where[1], ` · ${row.source}`),
      h("details", {}, h("summary", {}, `Received bytes (${count(row.original_bytes)})`), h("pre", { tabindex: 0 }, row.original)));
  }

  function showChips(counts) {
    const now = JSON.stringify([counts, reason]);
    if (now === shown) return;
    shown = now;
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    const focused = [...chips.children].indexOf(document.activeElement);
    const chip = (value, words, n) => h("button", {
      type: "button", "aria-pressed": String(reason === value),
      onclick: () => { reason = value; remember({ reason }); load().catch(() => {}); },
    }, words, " ", h("span", { class: "count" }, count(n)));
    chips.replaceChildren(chip("", "All", total), ...Object.entries(counts).map(([name, n]) => chip(name, name, n)));
    if (focused >= 0) chips.children[focused]?.focus();
  }

  const load = newest(async (signal) => {
    const page = await get("rejected", { reason, limit: LIMIT }, signal);
    showChips(page.counts);
    empty.hidden = page.rejected.length > 0;
    // A known entry keeps its element, so that what a person opened stays open.
    const kept = new Map(page.rejected.map((row) => [row.rejected_id, entries.get(row.rejected_id) ?? entry(row)]));
    const same = kept.size === entries.size && [...kept.keys()].every((id) => entries.has(id));
    entries.clear();
    for (const [id, element] of kept) entries.set(id, element);
    if (!same) list.replaceChildren(...kept.values());
  });

  return {
    title: "Rejected readings",
    everyMs: 2000,
    refresh: load,
    element: h("div", { class: "view" }, h("h1", {}, "Rejected readings"),
      h("p", { class: "note" }, `The newest ${LIMIT} rejected readings, each with the reason; the counts start an hour before this process.`),
      h("p", { class: "note" }, h("a", { href: "#/records" }, "Refused records"), " of the plant's own topics have a page of their own."),
      chips, empty, list),
  };
}
