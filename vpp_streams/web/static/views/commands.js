// The newest command of each device of a region: desired beside reported power, and the outcome.

import { remember } from "../address.js";
import { h, panel, refill, table, text } from "../dom.js";
import { batteryPhrase, clockSeconds, count } from "../format.js";
import { get, newest } from "../live.js";
import { setpointPhrase, stateWord, toneOf } from "../words.js";

const [FEW, MANY] = [12, 200];
const COLUMNS = [
  { label: "Device", kind: "id", cell: (c) => c.site_id ? h("a", { href: `#/sites/${encodeURIComponent(c.site_id)}` }, c.device_id) : c.device_id },
  { label: "Desired", cell: (c) => setpointPhrase(c.desired_w) },
  { label: "Reported", cell: (c) => batteryPhrase(c.reported_w) },
  { label: "State", cell: (c) => h("span", {}, h("span", { class: `pill ${toneOf(c.state)}` }, stateWord(c.state)), c.reason ? h("span", { class: "note" }, ` ${c.reason}`) : null) },
  { label: "Sent", kind: "id", cell: (c) => clockSeconds(c.created_at_ms) },
  { label: "Until", kind: "id", cell: (c) => clockSeconds(c.valid_until_ms) },
  { label: "Request", kind: "id", cell: (c) => c.request_id || "–" },
];

/** The panel of a region; `refresh(signal)` requests the newest commands. */
export function commandsPanel(region, parameters) {
  const chips = h("div", { class: "choice wrap", role: "group", "aria-label": "State" });
  const rows = h("div", { class: "rows" });
  const more = h("button", { type: "button", class: "more", hidden: true, onclick: () => { limit = limit === FEW ? MANY : FEW; refresh().catch(() => {}); } });
  let limit = FEW;
  let state = parameters.get("commands") ?? "";
  let shown = "";

  function showChips(counts) {
    const focused = [...chips.children].indexOf(document.activeElement);
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    const chip = (value, words, n) => h("button", {
      type: "button", "aria-pressed": String(state === value),
      onclick: () => { state = value; remember({ commands: state }); refresh().catch(() => {}); },
    }, words, " ", h("span", { class: "count" }, count(n)));
    chips.replaceChildren(chip("", "All", total), ...Object.entries(counts).sort(([, a], [, b]) => b - a).map(([name, n]) => chip(name, stateWord(name), n)));
    if (focused >= 0) chips.children[focused]?.focus();
  }

  const refresh = newest(async (signal) => {
    const answer = await get("commands", { region, state, limit }, signal);
    if (state && !(state in answer.counts)) answer.counts[state] = 0; // the chosen filter stays in sight
    const now = JSON.stringify([answer, state, limit]);
    if (now === shown) return;
    shown = now;
    showChips(answer.counts);
    more.hidden = limit === FEW && answer.commands.length < FEW;
    text(more, limit === FEW ? "Show more" : `Show the newest ${FEW}`);
    refill(rows, table("Newest command of each device", COLUMNS, answer.commands, "No device was commanded in the last minutes."));
  });

  return { element: panel("Commands", null, chips, rows, more), refresh };
}
