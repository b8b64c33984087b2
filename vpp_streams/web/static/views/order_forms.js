// What an operator can order of a region: power, a limit of its connections, and a storm.

import { h, table } from "../dom.js";
import { fromTo, percent, power } from "../format.js";
import { get, newest } from "../live.js";
import { may } from "../session.js";
import { field } from "./giving.js";

const number = (name, value, more = {}) => h("input", { type: "number", name, required: true, min: 0, step: "any", value, ...more });
const tick = (input, words) => h("label", { class: "tick" }, input, ` ${words}`);
const box = (name) => h("input", { type: "checkbox", name });

/** A form whose button sends what `made()` returns: {to, body, done, question?, answers?}; null = nothing. */
function orderForm(button, give, fields, made, sent = () => {}) {
  const submit = h("button", { class: "primary" }, button);
  const element = h("form", {
    class: "order",
    onsubmit: async (event) => {
      event.preventDefault();
      const order = made();
      if (order.question && !confirm(order.question)) return;
      if (await give(order.to, order.body, order.done, order.answers)) sent();
    },
  }, fields, submit);
  return { element, submit };
}

/** When an order begins and how long it lasts, in the unit of its fields: minutes or hours. */
function times(word, unitS, lasting, nowMs) {
  const [delay, length] = [number("delay", 0), number("length", lasting, { min: 0.1 })];
  return {
    fields: [field(`For, ${word}`, length), field(`In, ${word}`, delay)],
    body: () => ({
      for_s: unitS * Number(length.value),
      ...(Number(delay.value) > 0 ? { starts_at_ms: Math.round(nowMs() + 1000 * unitS * Number(delay.value)) } : {}),
    }),
    words: () => `for ${length.value} ${word}${Number(delay.value) > 0 ? `, in ${delay.value} ${word}` : ""}`,
  };
}

function powerForm({ region, path, nowMs, give }) {
  const kw = number("kw", 100);
  const way = h("select", { name: "way", onchange: () => { kw.disabled = way.value === "0"; } },
    h("option", { value: 1 }, "discharge"), h("option", { value: -1 }, "charge"), h("option", { value: 0 }, "self-consumption"));
  const when = times("min", 60, 15, nowMs);
  const [bestEffort, emergency, droop] = [box("best_effort"), box("emergency"), box("droop")];
  const nominal = h("select", { name: "nominal_hz" }, h("option", { value: "" }, "choose"), [50, 60].map((hz) => h("option", { value: hz }, `${hz} Hz`)));
  const nominalField = h("label", { class: "field", hidden: true }, h("span", {}, "Nominal frequency"), nominal);
  // Nothing is chosen for a person: with the frequency of another grid, batteries go to full power.
  droop.addEventListener("change", () => { nominalField.hidden = !droop.checked; nominal.required = droop.checked; });
  return orderForm("Dispatch", give,
    [field("Power, kW", kw), field("Direction", way), ...when.fields, tick(bestEffort, "best effort"), tick(emergency, "emergency"),
      tick(droop, "frequency response"), nominalField],
    () => {
      const exportW = way.value === "0" ? null : 1000 * Number(kw.value) * Number(way.value);
      const what = exportW === null ? "Release" : `${exportW < 0 ? "Charge" : "Discharge"} ${power(Math.abs(exportW))} in`;
      return {
        to: `${path}/targets`, done: "accepted",
        question: emergency.checked ? `${what} ${region} ${when.words()}, as an emergency? It outranks what is sold to markets: undelivered energy costs money.` : null,
        body: {
          export_w: exportW, best_effort: bestEffort.checked, priority: emergency.checked ? "emergency" : "operator",
          ...(droop.checked ? { droop: { nominal_hz: Number(nominal.value) } } : {}), ...when.body(),
        },
      };
    });
}

function limitForm({ region, path, nowMs, give }) {
  const [most, least] = ["export", "import"].map((way) => h("input", { type: "number", name: `${way}_kw`, min: 0, step: "any", placeholder: "no limit" }));
  const feeder = h("input", { type: "text", name: "feeder", maxlength: 64, placeholder: "all of the region" });
  const when = times("min", 60, 60, nowMs);
  const watts = (input) => (input.value === "" ? null : 1000 * Number(input.value));
  /** One of the two is needed: the browser says so beside the field. */
  const check = () => most.setCustomValidity(most.value === "" && least.value === "" ? "Give an export or an import limit." : "");
  for (const input of [most, least]) input.addEventListener("input", check);
  check();
  return orderForm("Limit", give,
    [field("Export at most, kW", most), field("Import at most, kW", least), field("Feeder", feeder), ...when.fields],
    () => {
      const where = feeder.value.trim() || null;
      return {
        to: `${path}/limits`, done: "accepted",
        question: where ? null : `Limit all sites of ${region} together, ${when.words()}? A limit outranks every target, also what is sold to markets.`,
        body: { export_limit_w: watts(most), import_limit_w: watts(least), feeder: where, ...when.body() },
      };
    });
}

function stormForm({ region, nowMs, give }, sent) {
  const when = times("h", 3600, 6, nowMs);
  const reserve = number("reserve", 100, { max: 100 });
  const sites = h("input", { type: "text", name: "sites", placeholder: "all sites of the region" });
  return orderForm("Announce the storm", give,
    [...when.fields, field("Keep charged, %", reserve), field("Only these sites", sites)],
    () => {
      const ids = sites.value.split(/[\s,;]+/).filter(Boolean);
      return {
        to: "alerts", done: "announced", answers: false,
        question: ids.length ? null : `Announce a storm for all sites of ${region}, ${when.words()}? From now on their batteries are filled and kept for their owners, not offered.`,
        body: { regions: ids.length ? [] : [region], site_ids: ids, reserve: Number(reserve.value) / 100, ...when.body() },
      };
    }, sent);
}

/** The storms of a region that are expected; `refresh(signal)`. */
function stormList(region, give) {
  const element = h("div", { class: "rows" });
  let shown = "";

  async function cancel(alert) {
    if (!confirm(`Cancel ${alert.alert_id}? Its batteries are offered again at once.`)) return;
    if (await give(`alerts/${encodeURIComponent(alert.alert_id)}/cancel`, {}, "cancelled", false)) refresh().catch(() => {});
  }

  const columns = [
    { label: "Storm", kind: "id", cell: (a) => a.alert_id },
    { label: "When", cell: (a) => fromTo(a.starts_at_ms, a.ends_at_ms) },
    { label: "Where", cell: (a) => [...(a.regions ?? []), ...(a.site_ids ?? [])].join(", ") },
    { label: "Kept charged", kind: "number", cell: (a) => percent(a.reserve ?? 1) },
    { label: "Action", unseen: true, cell: (a) => may("storm") ? h("button", { type: "button", onclick: () => cancel(a) }, "Cancel") : "" },
  ];

  const refresh = newest(async (signal) => {
    const { alerts } = await get("alerts", {}, signal);
    const now = JSON.stringify(alerts);
    if (now === shown) return;
    shown = now;
    const here = alerts.filter((a) => (a.regions ?? []).includes(region) || a.site_ids?.length);
    element.replaceChildren(here.length ? table("Storms that are expected", columns, here) : "");
  });

  return { element, refresh };
}

/**
 * The forms of a region, one of which is shown. `context`: {region, path, nowMs, give};
 * `refresh(signal)` requests the expected storms.
 */
export function orderForms(context) {
  const storms = stormList(context.region, context.give);
  const forms = new Map([
    ["Power", "dispatch", powerForm],
    ["Limit", "limit", limitForm],
    ["Storm", "storm", (given) => stormForm(given, () => storms.refresh().catch(() => {}))],
  ].filter(([, action]) => may(action)).map(([name, , form]) => [name, form(context)]));
  const buttons = [...forms.keys()].map((name) => h("button", { type: "button", onclick: () => choose(name) }, name));

  function choose(name) {
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === name)));
    for (const [other, { element }] of forms) element.hidden = other !== name;
  }

  if (forms.size) choose([...forms.keys()][0]);
  return {
    element: h("div", {}, forms.size ? h("h3", {}, "Give an order") : null, h("div", { class: "choice", role: "group", "aria-label": "Order" }, buttons),
      [...forms.values()].map(({ element }) => element), storms.element),
    refresh: storms.refresh,
  };
}
