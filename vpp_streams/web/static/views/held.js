// The banner of held regions: on every page, until the last one is released.

import { h } from "../dom.js";
import { heldWords } from "../words.js";

/** `set(dispatches, path)` with a Map of DispatchNow by region, and the path of the page that is shown. */
export function heldBanner() {
  const list = h("ul");
  const element = h("section", { class: "held", role: "status", "aria-label": "Held regions", hidden: true }, list);
  let before = "";
  // What sticks below it has to know its height.
  new ResizeObserver(() => document.documentElement.style.setProperty("--held", `${element.offsetHeight}px`)).observe(element);
  return {
    element,
    set(dispatches, path) {
      const at = (name) => `/regions/${encodeURIComponent(name)}`;
      // A region's own page says so beside its button.
      const held = [...dispatches.values()].filter((now) => now.status?.mode === "hold" && at(now.region) !== path);
      const lines = held.map((now) => [now.region, heldWords(now)]);
      if (JSON.stringify(lines) === before) return;
      before = JSON.stringify(lines);
      element.hidden = lines.length === 0;
      list.replaceChildren(...lines.map(([name, words]) => h("li", {}, h("b", {}, name), ` is ${words} `, h("a", { href: `#${at(name)}` }, "Release …"))));
    },
  };
}
