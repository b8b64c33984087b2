// The requests of a region, and forms for operators.

import { h, panel, table } from "../dom.js";
import { dateTime, fromTo } from "../format.js";
import { may } from "../session.js";
import { requestWords, sourceWord, stateWord, toneOf } from "../words.js";
import { giving } from "./giving.js";
import { orderForms } from "./order_forms.js";

const FINAL = new Set(["rejected", "completed", "withdrawn"]);

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
 * The panel of a region; `show(requests)` with RequestViews, `refresh(signal)` requests its storms.
 * `nowMs()` is the server's time, `onOrder()` is called after an order.
 */
export function requestsPanel(region, nowMs, onOrder) {
  const path = `regions/${encodeURIComponent(region)}`;
  const list = h("div", { class: "rows" });
  let before = "";

  const { said, give } = giving(onOrder);

  function withdraw({ request }) {
    const award = request.source.startsWith("market:");
    const question = award ? `${requestWords(request)} is sold to the ${sourceWord(request.source)}: undelivered energy costs money. Withdraw it anyway?` : `${request.type === "hold" ? "Release" : "Withdraw"} “${requestWords(request)}”?`;
    if (!confirm(question)) return;
    give(`${path}/requests/${encodeURIComponent(request.request_id)}/withdraw`, {}, request.type === "hold" ? "the hold is released" : "withdrawn");
  }

  const columns = [
    { label: "What", cell: ({ request }) => h("span", {}, h("b", {}, requestWords(request)), " ", h("span", { class: "note id" }, request.request_id)) },
    { label: "When", kind: "id", cell: ({ request }) => span(request) },
    { label: "By", cell: ({ request }) => `${sourceWord(request.source)}${request.priority === "emergency" ? " (emergency)" : ""}` },
    { label: "State", cell: (r) => h("span", {}, statePill(r), r.reason || r.by ? h("span", { class: "note" }, ` ${r.reason}${r.by && !r.reason.includes(r.by) ? ` (${r.by})` : ""}`) : null) },
    { label: "Action", unseen: true, cell: (r) => FINAL.has(r.state) || !may("dispatch") ? "" : h("button", { type: "button", onclick: () => withdraw(r) }, r.request.type === "hold" ? "Release" : "Withdraw") },
  ];

  const forms = orderForms({ region, path, nowMs, give });

  return {
    element: panel("Requests", null, said, list, forms.element),
    refresh: forms.refresh,
    show(requests) {
      const now = JSON.stringify(requests);
      if (now === before) return;
      before = now;
      list.replaceChildren(table("Requests, active and waiting ones first", columns, requests, "This region has no requests."));
    },
  };
}
