"""What a dispatch made each site give, and each site's weight in the money for it.

Energy is seen from the market: + = export. What was delivered is the energy beyond the baseline.
A site that was not measured delivered nothing that could be paid; one that was measured for a part
of the time delivered what was measured in it. Energy against the direction of an award has no
weight, nor has a site whose owner left the event.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.market import Award, Delivery
from schemas.programs import OptOut
from vpp_streams.domain.arrays import Floats, Ints, Mask
from vpp_streams.domain.market.overrides import Override
from vpp_streams.domain.settle.agreements import Enrolled
from vpp_streams.domain.settle.baselines import Calendar, Measured, no_battery_wh, ten_of_ten_wh
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import Energies, Span
from vpp_streams.domain.settle.money import milli_wh
from vpp_streams.domain.settle.opt_outs import leaves


@dataclass(frozen=True, slots=True)
class Delivered:
    """What sites gave in one interval; each column has the shape (sites,)."""

    energy_wh: Floats
    """At the connection; NaN = not measured."""
    baseline_wh: Floats
    """The same without the dispatch, over the measured part of the interval; NaN = not known."""
    delivered_wh: Floats
    """What counts; NaN = not measured."""
    coverage: Floats
    revision: Ints


def from_no_battery(energies: Energies) -> Delivered:
    """Against the connection without its battery: what the battery gave."""
    return Delivered(
        energy_wh=-energies.grid_wh,
        baseline_wh=-no_battery_wh(energies),
        delivered_wh=energies.battery_wh,
        coverage=energies.coverage,
        revision=energies.revision,
    )


def from_ten_of_ten(energies: Energies, baseline_wh: Floats) -> Delivered:
    """Against a baseline of the complete interval, Wh, + = import.

    Only the measured share of the interval is compared: otherwise energy that nobody measured
    would count as saved.
    """
    expected_wh = -baseline_wh * energies.coverage
    return Delivered(
        energy_wh=-energies.grid_wh,
        baseline_wh=expected_wh,
        delivered_wh=-energies.grid_wh - expected_wh,
        coverage=energies.coverage,
        revision=energies.revision,
    )


def delivered_in(
    span: Span,
    event_start_ms: int,
    energies: Energies,
    enrolled: Enrolled,
    *,
    history: Measured,
    calendar: Calendar,
) -> Delivered:
    """What sites gave in an interval of an event, each against the baseline of its program.

    ``energies`` are those of the interval, ``history`` gives those of earlier ones. A site in no
    program is compared with its connection without the battery.
    """
    plain = from_no_battery(energies)
    methods = [int(program.baseline == "ten_of_ten") for program in enrolled.programs]
    by_days = enrolled.rates(methods) == 1
    if not by_days.any():
        return plain
    baseline_wh = ten_of_ten_wh(span, event_start_ms, history, calendar)
    return _chosen(by_days, from_ten_of_ten(energies, baseline_wh), plain)


def _chosen(where: Mask, first: Delivered, second: Delivered) -> Delivered:
    return Delivered(
        energy_wh=np.where(where, first.energy_wh, second.energy_wh),
        baseline_wh=np.where(where, first.baseline_wh, second.baseline_wh),
        delivered_wh=np.where(where, first.delivered_wh, second.delivered_wh),
        coverage=first.coverage,
        revision=first.revision,
    )


def direction(award: Award, delivery: Delivery) -> int:
    """Where the award's batteries were to go: 1 = discharge, -1 = charge, 0 = neither.

    At a connection, what batteries had to do follows from the load and solar power of the time.
    """
    needed_w = award.energy_w if delivery.needed_w is None else delivery.needed_w
    return int(np.sign(needed_w))


def energy_weights(delivered_wh: Floats, towards: int, takes_part: Mask) -> Ints:
    """Each site's weight in the money for energy: what it gave in the direction, 10^-3 Wh."""
    given: Ints = np.maximum(milli_wh(delivered_wh) * towards, 0)
    return np.where(takes_part, given, 0)


def capacity_weights(
    fleet: Fleet, coverage: Floats, interval_hours: float, takes_part: Mask
) -> Ints:
    """Each site's weight in the money for capacity: its rated discharge while it was measured.

    A site that reports nothing could not have been called, so its capacity was not there.
    """
    held = milli_wh(fleet.discharge_w * coverage * interval_hours)
    return np.where(takes_part, held, 0)


def taking_part(
    site_ids: pa.StringArray,
    span: Span,
    opt_outs: Iterable[OptOut],
    requests: Collection[str] = (),
) -> Mask:
    """The sites whose owners did not leave an event, shape (sites,).

    ``requests`` are those that called for it, with the bids of its awards.
    """
    left = {one.site_id for one in opt_outs if leaves(one, span, requests)}
    gone = pc.is_in(site_ids, pa.array(sorted(left), pa.string()))
    mask: Mask = ~gone.to_numpy(zero_copy_only=False)
    return mask


def spans_of(overrides: Iterable[Override]) -> tuple[Span, ...]:
    """The stretches of time in which other requests took a region from its award.

    What sites did in them is what somebody else asked for: it counts neither for nor against them.
    """
    return tuple((one.from_ms, one.until_ms) for one in overrides)
