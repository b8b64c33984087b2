"""What a person asks of a report, in words, as a question with moments."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from vpp_streams.domain.history.days import day_bounds_ms, day_of, zone_named
from vpp_streams.domain.history.kinds import BY_NAME, Kind
from vpp_streams.domain.history.periods import Group, moment_ms
from vpp_streams.domain.history.reports import REPORT_NAMES, REPORTS, Question, ReportName, checked
from vpp_streams.errors import InputError
from vpp_streams.history.reports import Answering


def question_of(
    history: Answering,
    report: str,
    *,
    from_: str | None,
    to: str | None,
    group: Group,
    region: str | None,
    site: str | None,
    tz: str | None,
    now_ms: int,
) -> Question:
    """The question. Raises `InputError` with the way out.

    Without ``from_`` it begins with what history has of it; without ``to`` it ends now. Without
    ``tz``, days are those of history.
    """
    if report not in REPORT_NAMES:
        raise InputError(f"there is no report {report[:64]!r}; there are {', '.join(REPORT_NAMES)}")
    name: ReportName = REPORT_NAMES[REPORT_NAMES.index(report)]
    kinds = [BY_NAME[kind] for kind in REPORTS[name].kinds]
    from_ms, to_ms, zone = span_of(history, kinds, from_=from_, to=to, tz=tz, now_ms=now_ms)
    try:
        return checked(
            Question(
                report=name,
                from_ms=from_ms,
                to_ms=to_ms,
                group=group,
                zone=zone,
                region=region,
                site=site,
            )
        )
    except ValueError as error:
        raise InputError(str(error)) from None


def span_of(
    history: Answering,
    kinds: Sequence[Kind],
    *,
    from_: str | None,
    to: str | None,
    tz: str | None,
    now_ms: int,
) -> tuple[int, int, ZoneInfo]:
    """Start and end in ms since 1970, and the zone; as for `question_of`. Raises `InputError`.

    Without ``from_`` the span begins with the first day of the ``kinds``.
    """
    try:
        zone = zone_named(tz) if tz is not None else history.zone
        first = history.first_day(kinds) if from_ is None else None
        beginning_ms = day_bounds_ms(first or day_of(now_ms, zone), zone)[0]
        from_ms = beginning_ms if from_ is None else moment_ms(from_, zone)
        return from_ms, now_ms if to is None else moment_ms(to, zone, is_end=True), zone
    except ValueError as error:
        raise InputError(str(error)) from None
