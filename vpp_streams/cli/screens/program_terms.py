"""What a program pays its owners, in one line."""

from collections.abc import Iterator

from schemas.programs import Program
from schemas.settlement import MICROS
from vpp_streams.domain.statements.arithmetic import percent


def terms_line(program: Program) -> str:
    """For example ``60 % of what the home earned in a market, 0.1 EUR per event``."""
    return ", ".join(_terms(program))


def _terms(program: Program) -> Iterator[str]:
    if program.owner_share:
        yield f"{percent(program.owner_share)} of what the home earned in a market"
    rates = {
        "per kWh delivered in events": program.per_kwh_micros,
        "per event": program.per_event_micros,
        "per kW and hour of availability": program.per_kw_hour_micros,
        "per kW and month of availability": program.per_kw_month_micros,
    }
    for words, micros in rates.items():
        if micros:
            yield f"{micros / MICROS:g} {program.currency} {words}"
    if program.baseline == "ten_of_ten":
        yield "compared with ten similar days without an event"
