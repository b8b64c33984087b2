// A short list of sentences that changes only if its words do.

import { h } from "../dom.js";

/** `set(lines)` with an array of sentences; an empty list takes no space. */
export function sentences(kind) {
  const list = h("ul", { class: `sentences ${kind}` });
  let before = "";
  return {
    element: list,
    set(lines) {
      const now = lines.join("\n");
      if (now === before) return;
      before = now;
      list.replaceChildren(...lines.map((line) => h("li", {}, line)));
    },
  };
}
