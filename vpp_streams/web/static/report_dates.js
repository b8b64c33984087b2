// Spans of local dates, as YYYY-MM-DD; a date has no time zone.

const parsed = (date) => new Date(`${date}T00:00:00Z`);
const shown = (date) => date.toISOString().slice(0, 10);

/** Whether a text is a date that exists. */
export const isDate = (text) => /^\d{4}-\d\d-\d\d$/.test(text ?? "") && !Number.isNaN(parsed(text).getTime()) && shown(parsed(text)) === text;

/** Today's date in a time zone. */
export const today = (timeZone) => new Intl.DateTimeFormat("en-CA", { timeZone }).format(Date.now());

/** The first and last date of the span that contains a date; null of a lifetime. */
export function spanOf(span, date) {
  const at = parsed(date);
  const [year, month] = [at.getUTCFullYear(), at.getUTCMonth()];
  if (span === "day") return [date, date];
  if (span === "week") {
    const monday = new Date(at);
    monday.setUTCDate(at.getUTCDate() - ((at.getUTCDay() + 6) % 7));
    const sunday = new Date(monday);
    sunday.setUTCDate(monday.getUTCDate() + 6);
    return [shown(monday), shown(sunday)];
  }
  if (span === "month") return [shown(new Date(Date.UTC(year, month, 1))), shown(new Date(Date.UTC(year, month + 1, 0)))];
  if (span === "year") return [`${year}-01-01`, `${year}-12-31`];
  return null;
}

/** A date in the span before (-1) or after (1). */
export function step(span, date, direction) {
  const bounds = spanOf(span, date);
  const at = parsed(direction < 0 ? bounds[0] : bounds[1]);
  at.setUTCDate(at.getUTCDate() + direction);
  return shown(at);
}
