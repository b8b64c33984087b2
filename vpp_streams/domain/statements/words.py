"""A statement in words: what the PDF, the terminal and the CSV file say in the same way."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from vpp_streams.domain.statements.arithmetic import amount
from vpp_streams.domain.statements.document import StatementDocument, StatementRow, payable_text

BASELINES = {
    "no_battery": "compared with the connection as it would have been without its battery",
    "ten_of_ten": "compared with the mean of ten similar days without an event",
}
MEASURED = "measured completely"


def month_name(month: str) -> str:
    """A month for people, for example ``November 2026``."""
    return f"{date.fromisoformat(f'{month}-01'):%B %Y}"


def moment(at_ms: int, zone: str) -> str:
    """A local date and time with its offset: clocks that are put back show an hour twice."""
    local = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M} UTC{local:%z}"[:-2]


def day(at_ms: int, zone: str) -> str:
    """A local day, for example ``2026-11-03``."""
    return f"{datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)):%Y-%m-%d}"


def state_said(document: StatementDocument) -> str:
    """Whether the month can still change."""
    if document.state == "closed":
        return "This month is closed: it never changes. A later correction counts in a later month."
    return "This month is open: entries may still be added or corrected."


def terms_said(row: StatementRow) -> str:
    """The program of a line, with the version of its terms and its baseline."""
    name = f"{row.program_name} ({row.program_id})" if row.program_name else row.program_id
    baseline = None if row.kind == "availability" else row.baseline
    compared = f", {BASELINES[baseline]}" if baseline in BASELINES else ""
    return f"{name}, terms version {row.program_version}{compared}"


def measured_said(document: StatementDocument) -> str:
    """How much of the settled time was measured; what is missing was not paid."""
    part = document.measured
    if not part.settled_h:
        return "No interval of this month has been settled for this home."
    settled = f"{part.settled_h:,.2f} of the month's {document.hours:,.0f} hours were settled"
    if part.complete:
        return f"{settled}; they were {MEASURED}."
    intervals = "interval" if part.intervals_with_gaps == 1 else "intervals"
    return (
        f"{settled}; {_share(part.measured_h / part.settled_h)} of them were measured."
        f" {part.missing_min:,.1f} minutes in {part.intervals_with_gaps:,} {intervals} are missing,"
        " and were not paid."
    )


def storms_said(document: StatementDocument) -> str:
    """What storms cost, or that nothing is known of it."""
    storms = document.storms
    if storms is None:
        return "No storm, or its cost is not known."
    unknown = ""
    if storms.unknown_intervals:
        count = storms.unknown_intervals
        noun, verb = ("interval", "is") if count == 1 else ("intervals", "are")
        unknown = f"; {count} {noun} without a measurement {verb} not in it"
    return (
        f"{amount(storms.cost.micros, storms.cost.currency)} by your tariff, for information:"
        f" it is not part of the total{unknown}. {storms.formula.text}. {storms.formula.note}"
    )


def sums(document: StatementDocument) -> list[tuple[str, str]]:
    """The sums below the lines, as (what, amount)."""
    found = [
        ("Earned in this month", amount(document.total.micros, document.currency, 6)),
        ("Owed from before", amount(document.owed_before.micros, document.currency, 6)),
    ]
    for one in document.paid_out:
        what = f"Paid out on {day(one.at_ms, document.zone)} ({one.payout_id})"
        found.append((what, amount(-one.amount.micros, one.amount.currency, 6)))
    return [
        *found,
        ("Can be paid out at the end of the month", payable_text(document)),
        ("Carried into the next month", amount(document.carried.micros, document.currency, 6)),
    ]


def _share(fraction: float) -> str:
    """A share in percent, rounded down: 100 % is said only where nothing is missing."""
    return f"{int(fraction * 10_000) / 100:.2f} %"
