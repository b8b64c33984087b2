// Incidents: what needs a person's attention, who attends to it, and who was notified.

import { addressWith, chosen } from "../address.js";
import { h, text } from "../dom.js";
import { count, counted, dateTime, percent, seconds } from "../format.js";
import { get, newest } from "../live.js";
import { giving } from "./giving.js";

const LIMIT = 200;
const CHOICES = [["open", "Open"], ["closed", "Closed"], ["all", "All"]];
const TONES = { critical: "bad", warning: "warn", info: "quiet" };

function amount(value, unit) {
  if (value === null) return "not measured";
  return { s: seconds, share: percent, count }[unit](value);
}

function subject(row) {
  if (!row.region) return row.subject;
  return h("a", { href: `#/regions/${encodeURIComponent(row.region)}` }, row.region);
}

function notified(one) {
  const what = `${one.channel}, ${one.state}`;
  if (one.delivered) return h("li", {}, `${what}: delivered ${dateTime(one.at_ms)}`);
  return h("li", { class: "problem" }, `${what}: not delivered after ${counted(one.attempts, "attempt")}: ${one.reason}`);
}

/** One incident; `set(row)` shows its newest state without taking the focus from its form. */
function entry(row, onChange) {
  const { said, give } = giving(onChange);
  const pills = h("span", {});
  const when = h("time");
  const evidence = h("p", { class: "detail" });
  const values = h("p", { class: "note" });
  const attended = h("p", { class: "note" });
  const sent = h("ul", { class: "note" });
  const note = h("input", { type: "text", name: "note", maxlength: 500, placeholder: "what is being done" });
  const form = h("form", {
    class: "rows acknowledge",
    onsubmit: (event) => {
      event.preventDefault();
      give("incidents/acknowledge", { incident_id: row.incident_id, note: note.value.trim() }, "acknowledged");
    },
  }, h("label", { class: "field" }, h("span", {}, "Note"), note),
  h("button", { type: "submit", "aria-label": `Acknowledge ${row.rule} of ${row.subject}` }, "Acknowledge"), said);
  const element = h("li", {}, h("div", { class: "what" }, pills, when),
    h("h2", {}, row.rule, " · ", subject(row)), evidence, values, attended, sent, form);
  let shown = "";
  return {
    element,
    set(now) {
      if (JSON.stringify(now) === shown) return;
      shown = JSON.stringify(now);
      const closed = now.closed_at_ms !== null;
      pills.replaceChildren(
        h("span", { class: `pill ${closed ? "quiet" : TONES[now.severity]}` }, now.severity), " ",
        h("span", { class: `pill ${closed ? "good" : "quiet"}` }, closed ? "closed" : "open"));
      text(when, `opened ${dateTime(now.opened_at_ms)}${closed ? `, closed ${dateTime(now.closed_at_ms)}` : ""}`);
      text(evidence, now.evidence);
      text(values, `Now ${amount(now.value, now.unit)}, at worst ${amount(now.worst, now.unit)}; the rule's threshold is ${amount(now.above, now.unit)}.`);
      text(attended, now.acknowledged_by
        ? `${now.acknowledged_by} attends to it since ${dateTime(now.acknowledged_at_ms)}${now.note ? `: ${now.note}` : ""}`
        : closed ? "Nobody acknowledged it." : "Nobody attends to it yet.");
      sent.replaceChildren(...now.notifications.map(notified));
      sent.hidden = now.notifications.length === 0;
      form.hidden = closed || now.acknowledged_by !== null;
    },
  };
}

export function incidentsView(query) {
  const state = chosen(query, "state", CHOICES.map(([value]) => value), "open");
  const region = query.get("region");
  const chips = h("div", { class: "choice wrap", role: "group", "aria-label": "State" },
    CHOICES.map(([value, words]) => h("a", { class: "chip", href: addressWith({ state: value || "all" }, "/incidents"), "aria-current": value === state ? "true" : null }, words)));
  const total = h("p", { class: "note", role: "status" });
  const list = h("ol", { class: "rejects incidents" });
  const entries = new Map();

  const load = newest(async (signal) => {
    const page = await get("incidents", { state: state === "all" ? "" : state, region, limit: LIMIT }, signal);
    text(total, page.total === 0
      ? `No incident ${region ? `of ${region} ` : ""}${state === "all" ? "is known" : `is ${state}`}.`
      : `${count(page.open)} open; nobody attends to ${count(page.unacknowledged)} of them.${page.total > LIMIT ? ` The newest ${count(LIMIT)} of ${count(page.total)} are shown.` : ""}`);
    const kept = page.incidents.map((row) => {
      const one = entries.get(row.incident_id) ?? entry(row, () => load().catch(() => {}));
      one.set(row);
      return [row.incident_id, one];
    });
    const same = kept.length === entries.size && kept.every(([id], i) => list.children[i] === entries.get(id)?.element);
    entries.clear();
    for (const [id, one] of kept) entries.set(id, one);
    if (!same) list.replaceChildren(...kept.map(([, one]) => one.element));
  });

  return {
    title: "Incidents",
    everyMs: 2000,
    refresh: load,
    element: h("div", { class: "view" }, h("h1", {}, region ? `Incidents of ${region}` : "Incidents"),
      region ? h("p", { class: "note" }, h("a", { href: addressWith({ region: null }, "/incidents") }, "of every region")) : null,
      h("p", { class: "note" }, "Opened and closed by the rules of ", h("code", {}, "vpp incidents run"), "; whoever acknowledges one says that they attend to it."),
      chips, total, list),
  };
}
