// Counts by kind as one bar and a legend: devices by state, bids by rung.

import { h } from "../dom.js";
import { count } from "../format.js";

/** `toneOf(kind)` and `wordOf(kind)` give colour and name; `set({kind: number})` fills it. */
export function shareBar(toneOf, wordOf) {
  const track = h("div", { class: "state-track", "aria-hidden": "true" });
  const words = h("p", { class: "states" });
  let before = "";
  return {
    element: h("div", {}, track, words),
    set(counts) {
      const now = JSON.stringify(counts);
      if (now === before) return;
      before = now;
      const found = Object.entries(counts).filter(([, n]) => n > 0).sort(([, a], [, b]) => b - a);
      const total = found.reduce((sum, [, n]) => sum + n, 0) || 1;
      track.replaceChildren(...found.map(([kind, n]) => {
        const part = h("span", { class: toneOf(kind) });
        part.style.width = `${(100 * n) / total}%`;
        return part;
      }));
      words.replaceChildren(...found.map(([kind, n]) =>
        h("span", { class: `pair ${toneOf(kind)}` }, h("span", { class: "swatch", "aria-hidden": "true" }), h("b", {}, count(n)), ` ${wordOf(kind)}`)));
    },
  };
}
