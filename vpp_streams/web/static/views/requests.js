// The requests of a region, and forms for operators.

import { h, panel, table } from "../dom.js";
import { dateTime, fromTo, power } from "../format.js";
import { token } from "../orders.js";
import { sourceWord, stateWord, toneOf } from "../words.js";
import { field, giving } from "./giving.js";

const FINAL = new Set(["rejected", "completed", "withdrawn"]);

function what(request) {
  if (request.type === "hold") return `Hold${request.reason ? `: ${request.reason}` : ""}`;
  if (request.type === "limit") {
    const limits = [["import", request.import_limit_w], ["export", request.export_limit_w]].filter(([, w]) => w !== undefined && w !== null);
    return `Limit ${limits.map(([way, w]) => `${way} ${power(w)}`).join(", ")}${request.feeder ? ` on ${request.feeder}` : ""}`;
  }
  if (request.export_w === null) return "Self-consumption";
  return `${request.export_w < 0 ? "Charge" : "Discharge"} ${power(Math.abs(request.export_w))}${request.droop ? ", droop armed" : ""}`;
}

function span(request) {
  if (request.type === "hold") return `from ${dateTime(request.issued_at_ms)} until it is released`;
  return fromTo(request.starts_at_ms, request.ends_at_ms);
}

/** A request whose time is over and that was never active was not carried out. */
function statePill({ state, ruled_ms: ruledMs }) {
  const never = state === "completed" && ruledMs === 0;
  return h("span", { class: `pill ${never ? "warn" : toneOf(state)}` }, never ? "never active" : stateWord(state));
}

/**
 * The panel of a region; `show(requests)` with RequestViews. `nowMs()` is the server's time,
 * `onOrder()` is called after an order.
 */
export function requestsPanel(region, nowMs, onOrder) {
  const path = `regions/${encodeURIComponent(region)}`;
  const list = h("div", { class: "rows" });
  let before = "";

  const { said, tokenField, showToken, give } = giving(() => { showForget(); onOrder(); });
  const forget = h("button", { type: "button", class: "plain", onclick: () => { token.forget(); showToken(); showForget(); } }, "Forget my token");

  function showForget() {
    forget.hidden = !token.get();
  }

  function withdraw({ request }) {
    const award = request.source.startsWith("market:");
    const question = award ? `${what(request)} is sold to the ${sourceWord(request.source)}: undelivered energy costs money. Withdraw it anyway?` : `${request.type === "hold" ? "Release" : "Withdraw"} “${what(request)}”?`;
    if (!confirm(question)) return;
    give(`${path}/requests/${encodeURIComponent(request.request_id)}/withdraw`, {}, request.type === "hold" ? "the hold is released" : "withdrawn");
  }

  const columns = [
    { label: "What", cell: ({ request }) => h("span", {}, h("b", {}, what(request)), " ", h("span", { class: "note id" }, request.request_id)) },
    { label: "When", kind: "id", cell: ({ request }) => span(request) },
    { label: "By", cell: ({ request }) => `${sourceWord(request.source)}${request.priority === "emergency" ? " (emergency)" : ""}` },
    { label: "State", cell: (r) => h("span", {}, statePill(r), r.reason || r.by ? h("span", { class: "note" }, ` ${r.reason}${r.by && !r.reason.includes(r.by) ? ` (${r.by})` : ""}`) : null) },
    { label: "Action", unseen: true, cell: (r) => FINAL.has(r.state) ? "" : h("button", { type: "button", onclick: () => withdraw(r) }, r.request.type === "hold" ? "Release" : "Withdraw") },
  ];

  const kw = h("input", { type: "number", name: "kw", required: true, min: 0, step: "any", value: 100 });
  const way = h("select", { name: "way" }, h("option", { value: 1 }, "discharge"), h("option", { value: -1 }, "charge"));
  const minutes = h("input", { type: "number", name: "minutes", required: true, min: 0.1, step: "any", value: 15 });
  const delay = h("input", { type: "number", name: "delay", required: true, min: 0, step: "any", value: 0 });
  const bestEffort = h("input", { type: "checkbox", name: "best_effort" });
  const emergency = h("input", { type: "checkbox", name: "emergency" });
  const form = h("form", {
    class: "order",
    onsubmit: (event) => {
      event.preventDefault();
      const starts = Number(delay.value) > 0 ? { starts_at_ms: Math.round(nowMs() + 60_000 * Number(delay.value)) } : {};
      give(`${path}/targets`, {
        export_w: 1000 * Number(kw.value) * Number(way.value),
        for_s: 60 * Number(minutes.value),
        best_effort: bestEffort.checked,
        priority: emergency.checked ? "emergency" : "operator",
        ...starts,
      }, "accepted");
    },
  },
  field("Power, kW", kw), field("Direction", way), field("For, min", minutes), field("In, min", delay),
  h("label", { class: "tick" }, bestEffort, " best effort"), h("label", { class: "tick" }, emergency, " emergency"),
  tokenField, h("button", { class: "primary" }, "Dispatch"));

  showForget();

  return {
    element: panel("Requests", forget, said, list,
      h("h3", {}, "Request power"), form),
    show(requests) {
      showToken();
      showForget();
      const now = JSON.stringify(requests);
      if (now === before) return;
      before = now;
      list.replaceChildren(table("Requests, active and waiting ones first", columns, requests, "This region has no requests."));
    },
  };
}
