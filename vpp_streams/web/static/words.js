// Control in words: causes of missing power, states and alarms.

import { batteryPhrase, clockSeconds, counted, dateTime, energy, power, powerSize, seconds } from "./format.js";

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

/** What owners decide about their homes. */
export const OWNERS_CHOICES = {
  reserve_raised: "reserve raised", no_storm_mode: "no storm mode", paused: "paused", skipping: "skips this event", left: "has left",
};

/** Why a battery cannot be commanded. */
export const HINDRANCES = {
  never_seen: "never seen", not_connected: "not connected", silent: "silent", islanded: "cut off from the grid",
  storm: "kept for a storm", refused: "refused", opted_out: "opted out", no_answer: "no answer",
  unmeasured: "charge not known", measures_only: "measured only",
};
/** The condition of a site, and a sign for each that does not rely on its colour. */
export const LEVELS = { good: "in order", warn: "partly available", bad: "needs attention", quiet: "not active" };
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

/** Whether power is missing at all: the difference of two sums may be a fraction of a watt. */
const isMissing = (status) => Math.abs(status.missing_w ?? 0) >= 0.5;

/** Power that cannot be delivered, and whether a storm is a cause: its batteries charge meanwhile. */
export function missingWords(status) {
  if (!isMissing(status)) return "";
  const storm = (status.causes ?? []).some((cause) => cause.cause === "storm");
  return `${powerSize(status.missing_w)} cannot be delivered${storm ? ", with batteries kept for a storm" : ""}`;
}

/** What a request asks for, in words. */
export function requestWords(request) {
  if (request.type === "hold") return `Hold${request.reason ? `: ${request.reason}` : ""}`;
  if (request.type === "limit") {
    const limits = [["import", request.import_limit_w], ["export", request.export_limit_w]].filter(([, w]) => w !== undefined && w !== null);
    return `Limit ${limits.map(([way, w]) => `${way} ${power(w)}`).join(", ")}${request.feeder ? ` on ${request.feeder}` : ""}`;
  }
  if (request.export_w === null) return "Self-consumption";
  if (Math.abs(request.export_w) < 0.5) return "Hold 0 W";
  return `${request.export_w < 0 ? "Charge" : "Discharge"} ${powerSize(request.export_w)}${request.droop ? ", droop armed" : ""}`;
}

/** Since when, by whom and why a region is held, as far as it is known. */
export function heldWords(now) {
  const hold = now.ruling?.type === "hold" ? now.ruling : null;
  if (!hold) return "held";
  return `held since ${dateTime(hold.issued_at_ms)} by ${sourceWord(hold.source)}${hold.reason ? `: ${hold.reason}` : ""}`;
}

/** Who rules a region, with what and until when: sentences from a DispatchNow. */
export function rulingWords(now) {
  const status = now?.status;
  if (!status || now.stale || status.mode === "idle") return [];
  if (status.mode === "hold") return [`It is ${heldWords(now)}.`];
  const request = now.ruling;
  const until = status.ends_at_ms ? ` until ${clockSeconds(status.ends_at_ms)}` : "";
  const by = request ? `, ${request.request_id} by ${sourceWord(request.source)}` : "";
  const what = request ? requestWords(request) : status.asked_w === undefined || status.asked_w === null ? modeWords(status) : `${modeWords(status)}: ${setpointPhrase(status.asked_w)}`;
  const words = [`${what}${by}${until}.`];
  if (status.asked_w !== undefined && status.asked_w !== null) {
    const missing = isMissing(status) ? ` ${powerSize(status.missing_w)} is missing.` : "";
    words.push(`Requested ${power(status.asked_w)}, measured ${power(status.measured_w)}.${missing}`);
  }
  return status.storm ? [...words, stormSentence(status.storm)] : words;
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
