// A home for its owner: what happens now and why, what comes, and what the owner decides.

import { bar, h, panel, text } from "../dom.js";
import { batteryWord, clock, dateTime, energy, gridWord, money, percent, power, powerSize } from "../format.js";
import { get, newest } from "../live.js";
import { may, post } from "../session.js";
import { earnedPanel } from "./payments.js";
import { flows } from "./regions.js";

const DIRECTIONS = { give: "Batteries give power to the grid", charge: "Batteries charge", rest: "Batteries rest" };
const KINDS = { market: "sold to the market", operator: "requested by the operator", other: "requested" };
const HOUR_MS = 3_600_000;
const PAUSES = [["1 hour", HOUR_MS], ["8 hours", 8 * HOUR_MS], ["1 day", 24 * HOUR_MS], ["1 week", 168 * HOUR_MS]];

/** A time, with its day unless that is today. */
function when(ms) {
  const same = new Date(ms).toDateString() === new Date().toDateString();
  return same ? clock(ms) : dateTime(ms);
}

/**
 * Sends a decision and shows its outcome; `decide(path, body, done)`. While one is `pending()`, what
 * the page has read may be older than it.
 */
function deciding(siteId, onView) {
  const said = h("p", { class: "said", role: "status" });
  let sent = 0;
  return {
    said,
    pending: () => sent > 0,
    async decide(path, body, done) {
      said.className = "said";
      text(said, "Sending …");
      sent += 1;
      try {
        const home = await post(`homes/${encodeURIComponent(siteId)}/${path}`, body).finally(() => { sent -= 1; });
        onView(home);
        text(said, done);
      } catch (error) {
        said.className = "said problem";
        text(said, error instanceof TypeError ? "The web process does not answer." : error.message);
      }
    },
  };
}

/** Now: the reason in a sentence, the flows, and the state of charge with the reserve in it. */
function nowPanel() {
  const reason = h("p", { class: "reason" });
  const powers = flows();
  const level = bar("battery");
  const mark = h("span", { class: "reserve-mark", "aria-hidden": "true" });
  level.element.append(mark);
  const stored = h("p", { class: "note" });
  const age = h("span", { class: "basis" });
  return {
    element: panel("Now", age, reason, powers.element, stored, level.element),
    set(home) {
      const { flows: now, reason: why, choices } = home;
      text(reason, why.until_ms ? `${why.said} Until ${when(why.until_ms)}.` : why.said);
      reason.dataset.kind = why.kind;
      text(age, home.flows_error ?? (now.at_ms ? `reported ${when(now.at_ms)}` : "has not reported yet"));
      powers.set(now);
      level.set(now.soc);
      mark.style.left = `${100 * choices.backup_reserve}%`;
      text(stored, `Battery ${percent(now.soc)}: ${energy(now.stored_wh)} of ${energy(now.usable_wh)}; ${percent(choices.backup_reserve)} are your reserve, which is never sold.`);
    },
  };
}

/** Events ahead, each with a button to skip it. */
function eventsPanel(decide) {
  const list = h("ol", { class: "rejects" });
  const empty = h("p", { class: "empty" }, "No event is planned.");
  let shown = "";
  function row(event) {
    const title = `${DIRECTIONS[event.direction]}, ${KINDS[event.kind]}`;
    const skip = () => decide("skips", { request_id: event.request_id, skip: !event.skipped },
      event.skipped ? "You take part in the event again." : "You skip the event.");
    return h("li", {},
      h("div", { class: "what" },
        h("span", { class: `pill ${event.skipped ? "quiet" : event.running ? "good" : "quiet"}` }, event.skipped ? "skipped" : event.running ? "running" : "planned"),
        h("time", {}, `${when(event.starts_at_ms)} to ${when(event.ends_at_ms)}`)),
      h("p", { class: "detail" }, title),
      h("button", { type: "button", onclick: skip, "aria-label": `${event.skipped ? "Take part again" : "Skip"}: ${title}, ${when(event.starts_at_ms)}` }, event.skipped ? "Take part again" : "Skip this event"));
  }
  return {
    element: panel("Events", null, empty, list),
    set(home) {
      empty.hidden = home.events.length > 0;
      if (JSON.stringify(home.events) === shown) return;
      shown = JSON.stringify(home.events);
      const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
      list.replaceChildren(...home.events.map(row));
      if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
    },
  };
}

/** The reserve: a slider that is sent once it is let go. */
function reserveForm(decide) {
  const slider = h("input", { type: "range", name: "reserve", min: 0, max: 100, step: 1, "aria-describedby": "reserve-said" });
  const shown = h("output", { id: "reserve-said" });
  let held = false;
  const show = () => text(shown, `${slider.value} %`);
  slider.addEventListener("input", () => { held = true; show(); });
  slider.addEventListener("change", () => {
    held = false;
    decide("preferences", { backup_reserve: Number(slider.value) / 100 }, `Your reserve is ${slider.value} %.`);
  });
  return {
    element: h("label", { class: "field" }, h("span", {}, "Backup reserve ", shown), slider),
    set(home) {
      if (held) return;  // a person is moving it
      slider.value = String(Math.round(100 * home.choices.backup_reserve));
      show();
    },
  };
}

function stormForm(decide) {
  const box = h("input", { type: "checkbox", name: "storm" });
  box.addEventListener("change", () => decide("preferences", { storm_mode: box.checked },
    box.checked ? "Storms fill your battery." : "Storms do not fill your battery."));
  const storms = h("ul", { class: "note" });
  return {
    element: h("div", {}, h("label", { class: "check" }, box, " Fill the battery before storms"), storms),
    set(home) {
      box.checked = home.choices.storm_mode;
      storms.replaceChildren(...home.storms.map((storm) => h("li", {},
        `Storm ${when(storm.starts_at_ms)} to ${when(storm.ends_at_ms)}, prepared from ${when(storm.prepare_from_ms)}: ` +
        (storm.charge_wh === null ? "the state of charge is not known" : `${energy(storm.charge_wh)} still to be charged`) +
        (storm.cost === null ? ", at a cost that is not known" : `, which costs about ${money(storm.cost, storm.currency)}`))));
      storms.hidden = home.storms.length === 0;
    },
  };
}

function pauseForm(decide) {
  const length = h("select", { name: "pause" }, PAUSES.map(([words, ms]) => h("option", { value: ms }, words)));
  const pause = h("button", { type: "button", onclick: () => decide("preferences", { paused_until_ms: Date.now() + Number(length.value) }, "You have paused.") }, "Pause");
  const resume = h("button", { type: "button", onclick: () => decide("preferences", { paused_until_ms: 0 }, "You take part again.") }, "Take part again");
  const leave = h("button", {
    type: "button", class: "danger", onclick: () => {
      if (!confirm("Leave? Your battery then works for your home alone, and earns nothing.")) return;
      decide("preferences", { left: true }, "You have left. You can join again here.");
    },
  }, "Leave");
  const join = h("button", { type: "button", onclick: () => decide("preferences", { left: false }, "You have joined again.") }, "Join again");
  const field = h("label", { class: "field" }, h("span", {}, "Pause for"), length);
  return {
    element: h("div", { class: "acknowledge" }, field, pause, resume, leave, join),
    set({ choices }) {
      const paused = choices.paused_until_ms !== null;
      for (const element of [field, pause]) element.hidden = paused || choices.left;
      resume.hidden = !paused || choices.left;
      leave.hidden = choices.left;
      join.hidden = !choices.left;
    },
  };
}

export function homeView(siteId) {
  const { said, decide, pending } = deciding(siteId, (home) => show(null, home).catch(() => {}));
  const now = nowPanel();
  const events = eventsPanel(decide);
  const forms = [reserveForm(decide), stormForm(decide), pauseForm(decide)];
  const earned = may("read_money") ? earnedPanel(siteId) : null;
  const choices = panel("What you decide", null, h("div", { class: "stack" }, forms.map((form) => form.element), said));
  /** Show a home that was given, or is read; a switch keeps what a person has just set it to. */
  const show = newest(async (signal, given) => {
    const home = given ?? await get(`homes/${encodeURIComponent(siteId)}`, {}, signal);
    for (const part of pending() ? [now] : [now, events, ...forms]) part.set(home);
  });
  return {
    title: siteId,
    everyMs: 1000,
    element: h("div", { class: "view owner" }, h("h1", {}, siteId), now.element, events.element, earned?.element, may("choose") ? choices : null,
      h("p", { class: "note" }, h("a", { href: `#/sites/${encodeURIComponent(siteId)}` }, "Devices, readings and commands"))),
    async refresh(signal) {
      await show(signal);
      await earned?.refresh(signal);
    },
  };
}

/** The homes of an owner who has several. */
export function homesView() {
  const list = h("ul", { class: "homes" });
  return {
    title: "Your homes",
    everyMs: 10_000,
    element: h("div", { class: "view owner" }, h("h1", {}, "Your homes"), list),
    async refresh(signal) {
      const { homes } = await get("homes", {}, signal);
      list.replaceChildren(...homes.map((id) => h("li", {}, h("a", { href: `#/home/${encodeURIComponent(id)}` }, id))));
    },
  };
}
