// A device's commands of the last hour and their outcomes, from the topics that keep them.

import { chosen, remember } from "../address.js";
import { h, panel, text } from "../dom.js";
import { clockSeconds, count } from "../format.js";
import { get, newest } from "../live.js";
import { stateWord, toneOf } from "../words.js";

const SHOWN = 80;
/** Each answer reads the topics again, so it is requested seldom. */
const AGAIN_MS = 10_000;

/** The panel of a site; `refresh(devices, signal)` shows the story of the chosen device. */
export function storyPanel(parameters) {
  const choose = h("select", { "aria-label": "Device", onchange: () => { remember({ device: choose.value }); readAt = -Infinity; load().catch(() => {}); } });
  const note = h("p", { class: "note" });
  const list = h("ol", { class: "story" });
  let readAt = -Infinity;

  function line(event) {
    const until = event.until_ms ? `, until ${clockSeconds(event.until_ms)}` : "";
    return h("li", { class: toneOf(event.state) },
      h("time", {}, clockSeconds(event.at_ms)),
      h("span", { class: `pill ${toneOf(event.state)}` }, stateWord(event.state)),
      h("span", {}, `${event.said}${until} `, h("span", { class: "note id" }, event.command_id)));
  }

  const read = newest(async (signal) => {
    const answer = await get(`devices/${encodeURIComponent(choose.value)}/commands`, { renewals: "no" }, signal);
    const newest = answer.story.slice(-SHOWN).reverse();
    list.replaceChildren(...newest.map(line));
    const all = answer.story.length > SHOWN ? `the newest ${SHOWN} of ${count(answer.story.length)} lines, newest first` : "newest first";
    text(note, answer.story.length ? `Commands and their outcomes, ${all}.` : "It was not commanded in the last hour: it is in self-consumption.");
  });

  async function load(signal) {
    if (!choose.value || performance.now() - readAt < AGAIN_MS) return;
    const began = performance.now();
    readAt = began;
    try {
      await read(signal);
    } catch (error) {
      if (readAt === began) readAt = -Infinity; // nothing was read: the next refresh requests it again
      throw error;
    }
  }

  return {
    element: panel("Commands of the last hour", choose, note, list),
    async refresh(devices, signal) {
      const ids = devices.map((device) => device.device_id);
      if (JSON.stringify(ids) !== JSON.stringify([...choose.options].map((o) => o.value))) {
        choose.replaceChildren(...ids.map((id) => h("option", { value: id }, id)));
        choose.value = chosen(parameters, "device", ids, ids[0]);
      }
      await load(signal);
    },
  };
}
