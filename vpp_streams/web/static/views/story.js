// A device's last hour: what it was asked and what became of it, from the topics that keep it.

import { h, panel, text } from "../dom.js";
import { clockSeconds, count } from "../format.js";
import { get } from "../live.js";
import { stateWord, toneOf } from "../words.js";

const SHOWN = 80;
/** The topics are read anew for each answer: seldom is enough. */
const AGAIN_MS = 10_000;

/** The panel of a site; `refresh(devices, signal)` shows the story of the device that is chosen. */
export function storyPanel() {
  const choose = h("select", { "aria-label": "Device", onchange: () => { readAt = -Infinity; load().catch(() => {}); } });
  const note = h("p", { class: "note" });
  const list = h("ol", { class: "story" });
  let readAt = -Infinity;

  function line(told) {
    const until = told.until_ms ? `, until ${clockSeconds(told.until_ms)}` : "";
    return h("li", { class: toneOf(told.state) },
      h("time", {}, clockSeconds(told.at_ms)),
      h("span", { class: `pill ${toneOf(told.state)}` }, stateWord(told.state)),
      h("span", {}, `${told.said}${until} `, h("span", { class: "note id" }, told.command_id)));
  }

  async function load(signal) {
    if (!choose.value || performance.now() - readAt < AGAIN_MS) return;
    readAt = performance.now();
    const told = await get(`devices/${encodeURIComponent(choose.value)}/commands`, {}, signal);
    const newest = told.story.slice(-SHOWN).reverse();
    list.replaceChildren(...newest.map(line));
    const all = told.story.length > SHOWN ? `the newest ${SHOWN} of ${count(told.story.length)} lines, newest first` : "newest first";
    text(note, told.story.length ? `What was asked and what became of it, ${all}.` : "Nothing was asked of it in the last hour: it is left to itself.");
  }

  return {
    element: panel("The last hour's story", choose, note, list),
    async refresh(devices, signal) {
      const ids = devices.map((device) => device.device_id);
      if (JSON.stringify(ids) !== JSON.stringify([...choose.options].map((o) => o.value))) {
        choose.replaceChildren(...ids.map((id) => h("option", { value: id }, id)));
      }
      await load(signal);
    },
  };
}
