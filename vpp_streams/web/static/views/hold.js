// The kill switch of a region: always at the top of its page, whatever else the page can show.

import { h, text } from "../dom.js";
import { dateTime } from "../format.js";
import { may } from "../session.js";
import { sourceWord } from "../words.js";
import { giving } from "./giving.js";

const FINAL = new Set(["rejected", "completed", "withdrawn"]);

/** `show(requests)` with RequestViews, `link("live"|"lost"|"connecting")`. */
export function holdBar(region, onOrder) {
  const path = `regions/${encodeURIComponent(region)}`;
  const { said, give } = giving(onOrder);
  const state = h("p", { class: "hold-state", role: "status" });
  const start = h("button", { type: "button", class: "danger", onclick: () => open(true) }, "Hold the region");
  const release = h("button", { type: "button", onclick: releaseAll, hidden: true }, "Release");
  const reason = h("input", { type: "text", maxlength: 200, placeholder: "Why (shown to everybody)", "aria-label": "Why" });
  const confirmed = h("button", { type: "button", class: "danger", onclick: hold }, `Hold ${region} now`);
  const form = h("form", {
    class: "order hold", hidden: true,
    // Enter in a field decides nothing: it moves the focus to the button that does.
    onsubmit: (event) => event.preventDefault(),
    onkeydown: (event) => {
      if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
      event.preventDefault();
      confirmed.focus();
    },
  },
  reason, confirmed, h("button", { type: "button", onclick: () => open(false) }, "Cancel"),
  h("small", {}, "None of its devices is commanded until the hold is released."));
  let standing = [];
  let lost = false;

  function open(opened) {
    form.hidden = !opened;
    showState();
    (opened ? reason : start.hidden ? release : start).focus();
  }

  async function hold() {
    if (await give(`${path}/hold`, { reason: reason.value }, "the region is held")) {
      reason.value = "";
      open(false);
    }
  }

  async function releaseAll() {
    if (!confirm(`Release ${region}? Its other requests apply again at once.`)) return;
    for (const { request } of standing) {
      const to = `${path}/requests/${encodeURIComponent(request.request_id)}/withdraw`;
      if (!await give(to, {}, "the hold is released")) return open(true);
    }
  }

  function showState() {
    const held = standing[0];
    element.dataset.state = lost ? "lost" : held ? "held" : "free";
    release.hidden = !held || !may("hold");
    start.hidden = Boolean(held) || !form.hidden || !may("hold");
    if (lost) text(state, `No connection to the web process. From a terminal: vpp hold ${region} --kafka`);
    else if (held) text(state, `Held since ${dateTime(held.request.issued_at_ms)} by ${sourceWord(held.request.source)}${held.request.reason ? `: ${held.request.reason}` : ""}`);
    else text(state, "Not held");
  }

  const element = h("section", { class: "holdbar", "aria-label": "Hold" },
    h("div", { class: "hold-line" }, state, release, start), form, said);
  showState();
  return {
    element,
    show(requests) {
      standing = requests.filter(({ request, state: now }) => request.type === "hold" && !FINAL.has(now));
      showState();
    },
    link(now) {
      lost = now === "lost";
      showState();
    },
  };
}
