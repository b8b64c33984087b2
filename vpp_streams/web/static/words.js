// Control in words: why power is missing, what a state means, what an alarm says.

import { batteryPhrase, clockSeconds, count, energy, powerSize, seconds } from "./format.js";

const CAUSES = {
  offline: "not connected",
  refused: "refused",
  opted_out: "opted out by their owners",
  islanded: "cut off from the grid",
  not_following: "not doing what they were asked",
  no_answer: "without an answer",
  storm: "kept for a storm",
  reserve: "at their owners' reserve, or full",
  connection: "at the limit of their grid connection",
  rating: "giving all they are rated for",
  feeder: "behind a feeder at its limit",
  not_heard: "in partitions that are not heard of",
  not_believed: "with readings that are not believed",
  limit: "kept back for a limit of the region",
};

/** What rules a region, by the mode of its dispatch. */
export const MODES = {
  idle: "Nothing is asked", target: "A target rules", limit: "A limit rules", hold: "Held", self_consumption: "Left to themselves",
};

/** What rules a region, and that a storm takes batteries from it. */
export function modeWords(status) {
  const words = MODES[status.mode] ?? status.mode;
  return status.storm ? `${words}, beside a storm` : words;
}

/** Power that cannot be had, and whether a storm is why: its batteries charge meanwhile. */
export function missingWords(status) {
  if (!status.missing_w) return "";
  const storm = (status.causes ?? []).some((cause) => cause.cause === "storm");
  return `${powerSize(status.missing_w)} cannot be had${storm ? ", with batteries kept for a storm" : ""}`;
}

/** What a region does for others now; null where nothing is asked. */
export function doingWords(status) {
  if (!status || status.mode === "idle" || status.mode === "hold") return null;
  const asked = status.asked_w ?? null;
  return asked === null ? `${modeWords(status)}.` : `${modeWords(status)}: ${askedPhrase(asked)}.`;
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

/** A state as people say it. */
export const stateWord = (state) => (state === "none" ? "without a lease" : (state ?? "not heard").replaceAll("_", " "));

/** Why power is missing, of how many devices; the amount is that of the direction asked for. */
export function causeSentence(cause, askedW) {
  // None is counted where the cause is nothing that single devices have.
  const counted = cause.devices ? `${count(cause.devices)} ${cause.devices === 1 ? "device" : "devices"}` : "Devices";
  const devices = `${counted} ${CAUSES[cause.cause] ?? cause.cause}`;
  if (askedW === null || askedW === undefined) return `${devices}: ${powerSize(cause.up_w)} of discharge, ${powerSize(cause.down_w)} of charge`;
  return `${devices}: ${powerSize(askedW < 0 ? cause.down_w : cause.up_w)}`;
}

/** What will be missing, from when on and why; `told` = its causes are told elsewhere. */
export function noticeSentence(notice, nowMs, told) {
  const when = notice.from_ms > nowMs + 1000 ? `will be missing from ${clockSeconds(notice.from_ms)}` : `is missing since ${clockSeconds(notice.from_ms)}`;
  const what = `${powerSize(notice.missing_w)} of ${notice.request_id}`;
  if (told) return `${what} ${when}.`;
  const causes = (notice.causes ?? []).map((cause) => causeSentence(cause, notice.missing_w)).join("; ");
  return `${what} ${when}: ${causes || "no cause was told"}.`;
}

/** What a storm takes from the market. */
export function stormSentence(storm) {
  const money = storm.money ? ` for ${storm.money} ${storm.currency}` : "";
  const batteries = `${count(storm.devices)} ${storm.devices === 1 ? "battery is" : "batteries are"}`;
  return `Storm: ${batteries} kept for their owners; ${powerSize(storm.withheld_w)} are withheld, ${energy(storm.charge_wh)} still to be charged${money}.`;
}

/** What an alarm says of its device. */
export function alarmSentence(alarm, nowMs) {
  const lasts = seconds(Math.max(0, nowMs - alarm.since_ms) / 1000);
  const desired = askedPhrase(alarm.desired_w);
  const reported = alarm.reported_w === null ? "reports nothing" : `reports ${batteryPhrase(alarm.reported_w)}`;
  if (alarm.kind === "deviates") return `is to ${desired} and ${reported}, for ${lasts}`;
  if (alarm.kind === "no_answer") return `was asked to ${desired} and has not answered for ${lasts}`;
  if (alarm.kind === "late") return `accepted to ${desired}, has not reached it for ${lasts} and ${reported}`;
  return `could not ${desired}: ${alarm.reason || "no reason was told"}`;
}

/** A setpoint as what is asked, for example "discharge 3.5 kW". */
export function askedPhrase(w) {
  if (w === null || w === undefined) return "end its lease";
  if (Math.abs(w) < 0.5) return "rest";
  return `${w > 0 ? "discharge" : "charge"} ${powerSize(w)}`;
}

/** Who asks: the source without its kind. */
export const sourceWord = (source) => source.replace(":", " ");
