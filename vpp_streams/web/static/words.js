// Control in words: causes of missing power, states and alarms.

import { batteryPhrase, clockSeconds, counted, energy, powerSize, seconds } from "./format.js";

const CAUSES = {
  offline: "not connected",
  refused: "refused",
  opted_out: "opted out by their owners",
  islanded: "cut off from the grid",
  not_following: "not following their commands",
  no_answer: "without an answer",
  storm: "kept for a storm",
  reserve: "at their owners' reserve, or full",
  connection: "at the limit of their grid connection",
  rating: "at their rated power",
  feeder: "behind a feeder at its limit",
  not_heard: "in partitions that do not report",
  not_believed: "with readings that are not believed",
  measures_only: "that can only be measured",
  limit: "held back by a limit of the region",
};

/** Why a battery cannot be commanded. */
export const HINDRANCES = {
  never_seen: "never seen", not_connected: "not connected", silent: "silent", islanded: "cut off from the grid",
  storm: "kept for a storm", refused: "refused", opted_out: "opted out", no_answer: "no answer",
  unmeasured: "charge not known", measures_only: "measured only",
};
/** The condition of a site, and a sign for each that does not rely on its colour. */
export const LEVELS = { good: "complete", warn: "partly", bad: "not reached", quiet: "not active" };
export const LEVEL_SIGNS = { good: "●", warn: "▲", bad: "✕", quiet: "○" };
export const SITE_STATES = { planned: "planned", commissioning: "commissioning", active: "active", suspended: "suspended" };
export const KINDS = { powerwall: "home battery", solar: "solar only", megapack: "grid battery" };

/** The dispatch mode of a region in words. */
export const MODES = {
  idle: "No request", target: "Target active", limit: "Limit active", hold: "Held", self_consumption: "Self-consumption",
};

/** The mode of a region, and whether a storm withholds batteries. */
export function modeWords(status) {
  const words = MODES[status.mode] ?? status.mode;
  return status.storm ? `${words}, with batteries kept for a storm` : words;
}

/** Power that cannot be delivered, and whether a storm is a cause: its batteries charge meanwhile. */
export function missingWords(status) {
  if (!status.missing_w) return "";
  const storm = (status.causes ?? []).some((cause) => cause.cause === "storm");
  return `${powerSize(status.missing_w)} cannot be delivered${storm ? ", with batteries kept for a storm" : ""}`;
}

/** The present request of a region in words; null if there is none. */
export function doingWords(status) {
  if (!status || status.mode === "idle" || status.mode === "hold") return null;
  const requestedW = status.asked_w ?? null;
  return requestedW === null ? `${modeWords(status)}.` : `${modeWords(status)}: ${setpointPhrase(requestedW)}.`;
}

const GOOD = new Set(["applied", "accepted", "active", "completed"]);
const BAD = new Set(["failed", "rejected", "no_answer", "deviates"]);
const WARN = new Set(["offline", "outranked", "opted_out", "expired", "late", "withdrawn"]);

/** The tone of a state: good, warn, bad or quiet. */
export function toneOf(state) {
  if (GOOD.has(state)) return "good";
  if (BAD.has(state)) return "bad";
  return WARN.has(state) ? "warn" : "quiet";
}

/** A state in words. */
export const stateWord = (state) => (state === "none" ? "without a lease" : (state ?? "not reported").replaceAll("_", " "));

/** A cause of missing power and its number of devices; the amount is in the requested direction. */
export function causeSentence(cause, requestedW) {
  // No devices are counted if the cause is not one of single devices.
  const some = cause.devices ? counted(cause.devices, "device") : "Devices";
  const devices = `${some} ${CAUSES[cause.cause] ?? cause.cause}`;
  if (requestedW === null || requestedW === undefined) return `${devices}: ${powerSize(cause.up_w)} of discharge, ${powerSize(cause.down_w)} of charge`;
  return `${devices}: ${powerSize(requestedW < 0 ? cause.down_w : cause.up_w)}`;
}

/** What will be missing, from when on and why; with `withoutCauses` the causes are left out. */
export function noticeSentence(notice, nowMs, withoutCauses) {
  const when = notice.from_ms > nowMs + 1000 ? `will be missing from ${clockSeconds(notice.from_ms)}` : `is missing since ${clockSeconds(notice.from_ms)}`;
  const what = `${powerSize(notice.missing_w)} of ${notice.request_id}`;
  if (withoutCauses) return `${what} ${when}.`;
  const causes = (notice.causes ?? []).map((cause) => causeSentence(cause, notice.missing_w)).join("; ");
  return `${what} ${when}: ${causes || "no cause was reported"}.`;
}

/** The power and energy that a storm withholds from the market. */
export function stormSentence(storm) {
  const money = storm.money ? ` for ${storm.money} ${storm.currency}` : "";
  const batteries = counted(storm.devices, "battery is", "batteries are");
  return `Storm: ${batteries} kept for their owners; ${powerSize(storm.withheld_w)} are withheld, ${energy(storm.charge_wh)} still to be charged${money}.`;
}

/** An alarm of a device in words. */
export function alarmSentence(alarm, nowMs) {
  const lasts = seconds(Math.max(0, nowMs - alarm.since_ms) / 1000);
  const desired = setpointPhrase(alarm.desired_w);
  const reported = alarm.reported_w === null ? "reports nothing" : `reports ${batteryPhrase(alarm.reported_w)}`;
  if (alarm.kind === "deviates") return `is to ${desired} and ${reported}, for ${lasts}`;
  if (alarm.kind === "no_answer") return `was commanded to ${desired} and has not answered for ${lasts}`;
  if (alarm.kind === "late") return `accepted to ${desired}, has not reached it for ${lasts} and ${reported}`;
  return `could not ${desired}: ${alarm.reason || "no reason was reported"}`;
}

/** A setpoint as a command, for example "discharge 3.5 kW". */
export function setpointPhrase(w) {
  if (w === null || w === undefined) return "end its lease";
  if (Math.abs(w) < 0.5) return "hold 0 W";
  return `${w > 0 ? "discharge" : "charge"} ${powerSize(w)}`;
}

/** The source of a request without its kind. */
export const sourceWord = (source) => source.replace(":", " ");
