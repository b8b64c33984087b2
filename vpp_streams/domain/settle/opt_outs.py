"""What it costs to leave events: the availability of a day, if a program's rules were not kept."""

import math
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np

from schemas.programs import OptOut, Program
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.settle.agreements import Enrolled
from vpp_streams.domain.settle.intervals import Span
from vpp_streams.domain.settle.periods import local_date


def ends_ms(one: OptOut) -> float:
    """The first moment in which an opt-out no longer holds; inf = no end is known."""
    return math.inf if one.until_ms is None else one.until_ms


def holds(one: OptOut) -> bool:
    """Whether it takes any time: the owner did not take it back before it began."""
    return ends_ms(one) > one.from_ms


def leaves(one: OptOut, span: Span, requests: Collection[str]) -> bool:
    """Whether an owner takes no part in some of a stretch of time that these requests called for.

    An opt-out from one request concerns no other.
    """
    if one.request_id and one.request_id not in requests:
        return False
    return holds(one) and one.from_ms < span[1] and ends_ms(one) > span[0]


def lost_days(opt_outs: Iterable[OptOut], program: Program, zone: ZoneInfo) -> frozenset[date]:
    """The days whose availability one site loses by its opt-outs in one month.

    An opt-out that was announced too late costs its day, and so does each one beyond the number
    that is allowed in a month, in their order of time.
    """
    lost = set()
    for number, one in enumerate(sorted(opt_outs, key=lambda each: each.from_ms), start=1):
        allowed = program.opt_outs_per_month
        late = one.from_ms - one.announced_ms < program.opt_out_notice_s * 1000
        if late or (allowed is not None and number > allowed):
            lost.add(local_date(one.from_ms, zone))
    return frozenset(lost)


def available_hours(
    days: Sequence[tuple[Span, Floats]],
    site_ids: Sequence[str],
    enrolled: Enrolled,
    opt_outs: Iterable[OptOut],
    zone: ZoneInfo,
) -> Floats:
    """Hours in which sites were measured and took part, shape (sites,).

    ``days`` are stretches of time, none longer than a local day, with the measured share of each
    site (sites,); ``opt_outs`` are all of the month. An opt-out takes its own time, and the
    complete day if it broke the rules.
    """
    hours = sum((coverage * (span[1] - span[0]) / HOUR_MS for span, coverage in days), 0.0)
    found: Floats = np.broadcast_to(np.asarray(hours, np.float64), (len(site_ids),)).copy()
    by_site: dict[str, list[OptOut]] = {}
    for one in opt_outs:
        by_site.setdefault(one.site_id, []).append(one)
    for row, site_id in enumerate(site_ids):
        if site_id not in by_site or enrolled.code[row] < 0:
            continue
        own, program = by_site[site_id], enrolled.programs[enrolled.code[row]]
        lost = lost_days(own, program, zone)
        for span, coverage in days:
            length_ms = span[1] - span[0]
            complete = local_date(span[0], zone) in lost
            away_ms = length_ms if complete else min(_overlap_ms(span, own), length_ms)
            found[row] -= coverage[row] * away_ms / HOUR_MS
    return np.maximum(found, 0.0)


def _overlap_ms(span: Span, opt_outs: Iterable[OptOut]) -> int:
    """How much of a stretch of time opt-outs take; where they overlap, time counts once."""
    covered, end_ms = 0, span[0]
    for one in sorted(opt_outs, key=lambda each: each.from_ms):
        since, until = max(one.from_ms, end_ms), round(min(ends_ms(one), span[1]))
        if until > since:
            covered, end_ms = covered + until - since, until
    return covered
