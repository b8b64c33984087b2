// Numbers as text: signs become words, watts become kW or MW.

const NONE = "–";
/** A power below this, W, is shown as idle, without a direction. */
const IDLE_W = 50;

function magnitude(size, unit) {
  if (size < 999.5) return `${size.toFixed(0)} ${unit}`;
  if (size < 99_950) return `${(size / 1e3).toFixed(1)} k${unit}`;
  if (size < 999_500) return `${(size / 1e3).toFixed(0)} k${unit}`;
  if (size < 999_500_000) return `${(size / 1e6).toFixed(2)} M${unit}`;
  return `${(size / 1e9).toFixed(2)} G${unit}`;
}

const scaled = (value, unit) => `${value <= -0.5 ? "−" : ""}${magnitude(Math.abs(value), unit)}`;

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

export const power = (w) => (known(w) ? scaled(w, "W") : NONE);
export const powerSize = (w) => (known(w) ? scaled(Math.abs(w), "W") : NONE);
export const energy = (wh) => (known(wh) ? scaled(wh, "Wh") : NONE);

/** A fraction as percent, rounded down: 100 % is shown only if nothing is missing. */
export function percent(fraction) {
  if (!known(fraction)) return NONE;
  const rounded = Math.floor(fraction * 1000 + 1e-6) / 10;
  return `${rounded.toFixed(fraction === 1 ? 0 : 1)} %`;
}

export function batteryWord(w) {
  if (!known(w)) return "not measured";
  if (Math.abs(w) < IDLE_W) return "idle";
  return w > 0 ? "discharging" : "charging";
}

export function gridWord(w) {
  if (!known(w)) return "not measured";
  if (Math.abs(w) < IDLE_W) return "balanced";
  return w > 0 ? "importing" : "exporting";
}

/** A power with its direction in words, for example "exporting 4.1 kW". */
export const batteryPhrase = (w) => (known(w) ? `${batteryWord(w)} ${powerSize(w)}` : NONE);
export const gridPhrase = (w) => (known(w) ? `${gridWord(w)} ${powerSize(w)}` : NONE);

export function seconds(s) {
  if (!known(s)) return NONE;
  if (s < 1) return `${s.toFixed(2)} s`;
  if (s < 100) return `${s.toFixed(1)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}

/** A remaining time, to the second up to an hour. */
export function left(s) {
  const whole = Math.max(0, Math.round(s));
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole} s`;
}

/** How long ago something was; `atMs` null = never. */
export const ageOf = (atMs, nowMs) => (known(atMs) ? `${seconds(Math.max(0, nowMs - atMs) / 1000)} ago` : "none");

export const millis = (ms) => (known(ms) ? seconds(ms / 1000) : NONE);
export const count = (n) => (known(n) ? Math.round(n).toLocaleString("en-GB") : NONE);

/** A rate per second; below one per second, per minute. */
export function rate(n) {
  if (!known(n)) return NONE;
  if (n > 0 && n < 0.95) return `${(60 * n).toFixed(1)} /min`;
  return `${n > 0 && n < 10 ? n.toFixed(1) : count(n)} /s`;
}

/** A number with a fixed number of decimals; what rounds to 0 has no sign. */
export function number(n, digits, unit = "") {
  if (!known(n)) return NONE;
  const size = Math.abs(n).toFixed(digits);
  return `${n < 0 && Number(size) !== 0 ? "−" : ""}${size}${unit}`;
}

/** A count with its noun, for example "1 award" and "2 awards". */
export const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Money with its currency, to a tenth of a cent for small amounts. */
export function money(amount, currency) {
  if (!known(amount)) return NONE;
  const size = Math.abs(amount) < 0.0005 ? 0 : Math.abs(amount);
  return `${size && amount < 0 ? "−" : ""}${size.toFixed(size && size < 1 ? 3 : 2)} ${currency}`;
}

/** A price per MWh (of capacity: per MW and hour). */
export const price = (amount) => (known(amount) ? `${amount < 0 ? "−" : ""}${Math.abs(amount).toFixed(2)}` : NONE);

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const preciseFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const dateFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const zoneFormat = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });

/** The browser's time zone at a time, for example "CET": every time in words has it. */
export const zone = (ms) => zoneFormat.formatToParts(ms).find((part) => part.type === "timeZoneName").value;
const zoned = (format, ms) => (known(ms) ? `${format.format(ms)} ${zone(ms)}` : NONE);

/** Without its zone: for the axis of a chart, whose readout has it. */
export const clock = (ms) => (known(ms) ? clockFormat.format(ms) : NONE);
export const clockSeconds = (ms) => zoned(preciseFormat, ms);
export const dateTime = (ms) => zoned(dateFormat, ms);
export const span = (startMs, sizeS) => `${clock(startMs)}–${zoned(clockFormat, startMs + sizeS * 1000)}`;

/** From one time to another, with dates if they are far apart. */
export function fromTo(startMs, endMs) {
  const format = endMs - startMs > 12 * 3600_000 ? dateFormat : preciseFormat;
  return `${format.format(startMs)} – ${zoned(format, endMs)}`;
}

export function duration(s) {
  return s < 3600 ? `${s / 60} min` : `${s / 3600} h`;
}

/** The basis of an aggregate: coverage and age, shown beside every one. */
export function basis(region) {
  const sites = `${count(region.sites_reporting)} of ${counted(region.sites_expected, "site")}`;
  const age = known(region.oldest_sample_age_s)
    ? `oldest sample ${seconds(region.oldest_sample_age_s)}`
    : "no sample";
  return `${sites} (${percent(region.coverage)}) · ${age}`;
}
