// Reports in words: names, columns, and how a value of each is shown.

import { count, energy, money, number, percent, power } from "../format.js";

/** The reports, with the columns that the chart shows. */
export const REPORTS = {
  energy: { name: "Energy", drawn: ["battery_discharge_wh", "battery_charge_wh", "grid_import_wh", "grid_export_wh", "solar_wh", "load_wh"] },
  earnings: { name: "Earnings", drawn: ["money"] },
  availability: { name: "Availability", drawn: ["availability", "coverage"] },
  delivery: { name: "Delivery", drawn: ["needed_wh", "given_wh"] },
  forecast: { name: "Forecast", drawn: ["load_error_w", "solar_error_w"] },
};

export const GROUPS = { interval: "Quarters of an hour", hour: "Hours", day: "Days", month: "Months", year: "Years", total: "Total" };

/** Spans of the page: their name, and the group of rows that suits each. */
export const SPANS = { day: ["Day", "hour"], week: ["Week", "day"], month: ["Month", "day"], year: ["Year", "month"], lifetime: ["Lifetime", "month"] };

const LABELS = {
  site_id: "Site", battery_discharge_wh: "Battery discharge", battery_charge_wh: "Battery charge", grid_import_wh: "Grid import",
  grid_export_wh: "Grid export", solar_wh: "Solar", load_wh: "Load", awarded_wh: "Awarded", delivered_wh: "Delivered",
  needed_wh: "Called for", given_wh: "Given", off_wh: "Deviation", overridden_s: "Overridden", measured_h: "Measured", expected_h: "Expected",
  windows_expected: "Windows expected", load_error_w: "Load error", load_bias_w: "Load bias", solar_error_w: "Solar error", solar_bias_w: "Solar bias",
};

/** A column's name for people. */
export function label(name) {
  const words = LABELS[name] ?? name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

/** A value of a column as text. */
export function shown(column, value, row) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value;
  if (column.name === "money") return money(value, row.currency);
  if (column.name === "delivery_error") return `${number(100 * value, 2)} %`;
  const formats = { Wh: energy, W: power, "0..1": percent, h: (hours) => number(hours, 1, " h"), s: (s) => number(s, 0, " s") };
  return (formats[column.unit] ?? (Number.isInteger(value) ? count : (n) => number(n, 2)))(value);
}

const FORMATS = {
  interval: { dateStyle: "short", timeStyle: "short" }, hour: { dateStyle: "short", timeStyle: "short" },
  day: { dateStyle: "medium" }, month: { month: "long", year: "numeric" }, year: { year: "numeric" }, total: { dateStyle: "medium" },
};

/** The start of a period in the report's time zone. */
export function periodWords(row, report) {
  const words = new Intl.DateTimeFormat("en-GB", { timeZone: report.tz, ...FORMATS[report.group] }).format(row.start_ms);
  // On the day on which clocks go back, an hour is there twice: its offset tells them apart.
  return report.group === "hour" || report.group === "interval" ? `${words} ${row.start.slice(19)}` : words;
}
