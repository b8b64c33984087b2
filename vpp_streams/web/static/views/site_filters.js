// Which sites are looked for: the same filters for the list and the map, kept in the address.

import { addressWith, remember } from "../address.js";
import { h } from "../dom.js";
import { HINDRANCES, KINDS, LEVELS, OWNERS_CHOICES, SITE_STATES } from "../words.js";

const TYPING_MS = 250;
const yesNo = (any, yes, no) => [["", any], ["yes", yes], ["no", no]];
const every = (any, words) => [["", any], ...Object.entries(words)];
/** Beside search, region and state of charge: the API's parameter, its name, and its values. */
const CHOICES = [
  ["level", "Condition", every("Any condition", LEVELS)],
  ["state", "State", every("Any state", SITE_STATES)],
  ["kind", "Kind", every("Any kind", KINDS)],
  ["connected", "Connection", yesNo("Connected or not", "all devices connected", "a device is not connected")],
  ["commandable", "Commandable", yesNo("Commandable or not", "all batteries commandable", "a battery is not commandable")],
  ["why", "Why not commandable", every("Any cause", HINDRANCES)],
  ["owner", "Owner's decision", every("Whatever the owner decided", OWNERS_CHOICES)],
  ["silent", "Readings", yesNo("Reporting or silent", "silent", "reporting")],
  ["alarmed", "Alarms", yesNo("With and without alarm", "with an alarm", "without an alarm")],
];
const PERCENT = [["soc_min", "Charge at least, %"], ["soc_max", "Charge at most, %"]];

function labelled(name, input) {
  return h("label", { class: "field" }, h("span", {}, name), input);
}

/**
 * The filters of a page; `onChange()` is called when one has changed and the address has it.
 * `query()`: parameters of the API; `setRegions(names)`; `path(to)`: the address of another page with
 * the same filters.
 */
export function siteFilters(parameters, onChange) {
  const given = (name) => parameters.get(name) ?? "";
  const search = h("input", { type: "search", placeholder: "Site or device id", "aria-label": "Site or device id", maxlength: 64, value: given("q") });
  const region = h("select", { "aria-label": "Region" }, h("option", { value: "" }, "All regions"));
  const selects = new Map(CHOICES.map(([name, label, values]) => {
    const select = h("select", { name }, values.map(([value, words]) => h("option", { value }, words)));
    select.value = values.some(([value]) => value === given(name)) ? given(name) : "";
    return [name, [select, label]];
  }));
  const shares = new Map(PERCENT.map(([name, label]) => {
    const share = given(name) === "" ? "" : Math.round(100 * Number(given(name)));
    return [name, [h("input", { type: "number", name, min: 0, max: 100, value: share }), label]];
  }));
  let wantedRegion = given("region");
  const device = given("device");
  let typing = null;

  function query() {
    return {
      q: search.value.trim(), region: wantedRegion, device,
      ...Object.fromEntries([...selects].map(([name, [select]]) => [name, select.value])),
      ...Object.fromEntries([...shares].map(([name, [input]]) => [name, input.value === "" || !input.checkValidity() ? "" : Number(input.value) / 100])),
    };
  }

  function changed(isTyping) {
    remember({ ...query(), page: null }, { typing: isTyping });
    onChange();
  }

  /** Typing is one change, once it pauses. */
  function typed() {
    clearTimeout(typing);
    typing = setTimeout(() => changed(true), TYPING_MS);
  }

  search.addEventListener("input", typed);
  for (const [input] of shares.values()) input.addEventListener("input", typed);
  region.addEventListener("change", () => { wantedRegion = region.value; changed(false); });
  for (const [select] of selects.values()) select.addEventListener("change", () => changed(false));
  const narrowed = [...CHOICES, ...PERCENT].some(([name]) => given(name) !== "");

  return {
    search,
    region,
    more: h("details", { class: "more-filters", open: narrowed }, h("summary", {}, "More filters"),
      h("div", { class: "order" }, [...selects.values(), ...shares.values()].map(([input, label]) => labelled(label, input)))),
    query,
    path: (to) => addressWith({ page: null, sort: null, order: null }, to),
    stop: () => clearTimeout(typing),
    setRegions(names) {
      if (names.length === region.options.length - 1) return;
      region.replaceChildren(h("option", { value: "" }, "All regions"), ...names.map((name) => h("option", { value: name }, name)));
      region.value = wantedRegion;
    },
  };
}
