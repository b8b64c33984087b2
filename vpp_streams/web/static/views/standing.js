// The standing of a region: its label, its findings, and how much of it can be commanded.

import { bar, h, text } from "../dom.js";
import { count, counted, percent, powerSize } from "../format.js";
import { rulingWords } from "../words.js";
import { sentences } from "./sentences.js";

const UNKNOWN = { level: "bad", word: "Not known", findings: [] };

/** The label of a region; `set(standing)`. */
export function standingPill() {
  const element = h("span", { class: "pill" });
  return {
    element,
    set(standing = UNKNOWN) {
      element.className = `pill ${standing.level}`;
      text(element, standing.word);
    },
  };
}

/** The findings behind the label and the region's present request; `set(standing, dispatch)`. */
export function standingSentences() {
  const [wrong, doing] = [sentences("warn"), sentences("")];
  return {
    element: h("div", { class: "standing" }, wrong.element, doing.element),
    set(standing = UNKNOWN, dispatch = undefined) {
      wrong.set(standing.findings.map(({ said }) => `${said[0].toUpperCase()}${said.slice(1)}.`));
      doing.set(rulingWords(dispatch));
    },
  };
}

/** Commandable batteries, as a share of the registered ones; `set(dispatch)` with a DispatchNow. */
export function commandableBar() {
  const value = h("span", { class: "value" }, "–");
  const note = h("span", { class: "note" });
  const share = bar("battery");
  return {
    element: h("div", { class: "charge commandable" },
      h("p", {}, h("span", { class: "label" }, "Commandable"), value, note), share.element),
    set(dispatch) {
      const now = dispatch && !dispatch.stale ? dispatch.status?.commandable : null;
      const known = now && now.batteries > 0;
      const part = known ? now.commandable / now.batteries : null;
      text(value, percent(part));
      text(note, known
        ? `${count(now.commandable)} of ${counted(now.batteries, "battery", "batteries")}, ${powerSize(now.commandable_w)} of ${powerSize(now.rated_w)} installed`
        : now ? "no battery is registered" : "not known");
      share.set(part);
    },
  };
}
