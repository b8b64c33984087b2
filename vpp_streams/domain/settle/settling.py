"""Settles the awards and events of a region: from windows and agreements to entries.

The shell keeps the inputs and the records that it wrote. It settles an interval again whenever one
of its inputs changed; only what differs from what stands becomes entries.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from schemas.market import Award, Delivery
from schemas.programs import OptOut
from vpp_streams.domain.arrays import Ints
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.market.overrides import Override
from vpp_streams.domain.settle.agreements import Enrolled
from vpp_streams.domain.settle.attribution import (
    Delivered,
    delivered_in,
    spans_of,
    taking_part,
)
from vpp_streams.domain.settle.baselines import ADJUSTED_BY_MS, Calendar
from vpp_streams.domain.settle.corrections import NOTHING, Standing, settled
from vpp_streams.domain.settle.events import Event
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import QUARTER_S, Energies, SiteWindows, Span
from vpp_streams.domain.settle.market_lines import award_lines
from vpp_streams.domain.settle.opt_outs import available_hours, leaves
from vpp_streams.domain.settle.opt_outs import ends_ms as left_until_ms
from vpp_streams.domain.settle.periods import Books, month_bounds_ms, month_of
from vpp_streams.domain.settle.program_lines import (
    availability_lines,
    event_lines,
    pays_for_availability,
    pays_for_events,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What is known of a region's sites and their agreements at a time."""

    fleet: Fleet
    windows: SiteWindows
    enrolled: Enrolled
    """At the start of the interval that is settled."""
    calendar: Calendar
    books: Books
    past: SiteWindows | None = None
    """Windows of earlier days, for baselines that need them; None = none does."""
    opt_outs: Sequence[OptOut] = ()
    """Those of the month of the interval."""

    def settle_award(
        self,
        award: Award,
        delivery: Delivery,
        event_start_ms: int,
        *,
        overrides: Iterable[Override] = (),
        before: Standing = NOTHING,
    ) -> pa.RecordBatch | None:
        """The entries that make an award's interval stand; None = they stand already.

        ``event_start_ms`` is the start of the event that the interval belongs to (see
        `program_lines.events_of`). Raises `RefusedError` where the money cannot be divided, and
        `ValueError` for an interval that does not consist of complete minutes.
        """
        span = award.start_ms, ends_ms(award)
        lines = award_lines(
            award,
            delivery,
            self.fleet,
            self._delivered(span, event_start_ms, overrides),
            enrolled=self.enrolled,
            takes_part=taking_part(self.fleet.site_ids, span, self.opt_outs, (award.bid_id,)),
        )
        return settled(lines, self.books, before)

    def settle_event(
        self, event: Event, *, overrides: Iterable[Override] = (), before: Standing = NOTHING
    ) -> pa.RecordBatch | None:
        """The entries of what programs pay for an event by rate; None = they stand already.

        A site is paid for the energy of the time in which it took part.
        """
        if not any(map(pays_for_events, self.enrolled.programs)):
            return settled((), self.books, before)
        without = [*overrides, *(Override(*span, ()) for span in event.without)]
        site_ids, span = self.fleet.site_ids, event.span
        left = [one for one in self.opt_outs if leaves(one, span, event.requests)]
        delivered = self._delivered(span, span[0], without)
        lines = event_lines(
            event,
            self.fleet,
            self._while_taking_part(delivered, span, without, left),
            self.enrolled,
            takes_part=taking_part(site_ids, span, left, event.requests),
        )
        return settled(lines, self.books, before)

    def withdraw(self, before: Standing) -> pa.RecordBatch | None:
        """The entries that take back what stands of what is no event any more."""
        return settled((), self.books, before)

    def settle_availability(
        self, start_ms: int, before: Standing = NOTHING
    ) -> pa.RecordBatch | None:
        """The entries of what programs pay for standing ready in a quarter of an hour.

        None = they stand already.
        """
        if not any(map(pays_for_availability, self.enrolled.programs)):
            return settled((), self.books, before)
        span = start_ms, start_ms + QUARTER_S * 1000
        zone = self.books.zone
        month = month_bounds_ms(month_of(start_ms, zone), zone)
        site_ids = self.fleet.site_ids
        coverage = self.windows.coverage(self.windows.rows(site_ids), QUARTER_S, start_ms)
        hours = available_hours(
            [(span, coverage)], site_ids.to_pylist(), self.enrolled, self.opt_outs, zone
        )
        length_ms = month[1] - month[0]
        lines = availability_lines(span, length_ms, self.fleet, hours, self.enrolled)
        return settled(lines, self.books, before)

    def _while_taking_part(
        self,
        delivered: Delivered,
        span: Span,
        without: Sequence[Override],
        left: Iterable[OptOut],
    ) -> Delivered:
        """The same without what sites gave while their owners took no part."""
        absent: dict[str, list[Override]] = defaultdict(list)
        for one in left:
            until_ms = round(min(left_until_ms(one), span[1]))
            absent[one.site_id].append(Override(max(one.from_ms, span[0]), until_ms, ()))
        if not absent:
            return delivered
        energy_wh, baseline_wh, delivered_wh = (
            column.copy()
            for column in (delivered.energy_wh, delivered.baseline_wh, delivered.delivered_wh)
        )
        for row, site_id in enumerate(self.fleet.site_ids.to_pylist()):
            if site_id not in absent:
                continue
            # Known to be nothing that is paid: it was not left unmeasured.
            delivered_wh[row] = 0.0
            if any((one.from_ms, one.until_ms) == span for one in absent[site_id]):
                continue
            alone, own_without = self._of(np.array([row])), [*without, *absent[site_id]]
            own = alone._delivered(span, span[0], own_without)  # noqa: SLF001  # of the same class
            energy_wh[row], baseline_wh[row] = own.energy_wh[0], own.baseline_wh[0]
            delivered_wh[row] = np.nan_to_num(own.delivered_wh[0])
        return replace(
            delivered, energy_wh=energy_wh, baseline_wh=baseline_wh, delivered_wh=delivered_wh
        )

    def _of(self, rows: Ints) -> "Region":
        """The same for some of its sites."""
        had_event = self.calendar.had_event
        return replace(
            self,
            fleet=self.fleet.of_rows(rows),
            enrolled=replace(self.enrolled, code=self.enrolled.code[rows]),
            calendar=replace(self.calendar, had_event=lambda day: had_event(day)[rows]),
        )

    def _delivered(
        self, span: Span, event_start_ms: int, overrides: Iterable[Override]
    ) -> Delivered:
        return delivered_in(
            span,
            event_start_ms,
            self._energies(span, spans_of(overrides)),
            self.enrolled,
            history=partial(self._before, event_start_ms),
            calendar=self.calendar,
        )

    def _energies(self, span: Span, without: Iterable[Span] = ()) -> Energies:
        return self._energies_of(self.windows, span, without)

    def _before(self, event_start_ms: int, span: Span) -> Energies:
        """The hours before an event are among the windows at hand, earlier days in the past."""
        earlier = span[0] < event_start_ms - ADJUSTED_BY_MS
        return self._energies_of(self.past if earlier and self.past else self.windows, span)

    def _energies_of(
        self, windows: SiteWindows, span: Span, without: Iterable[Span] = ()
    ) -> Energies:
        found = windows.energies(windows.rows(self.fleet.site_ids), span, without)
        return found.bounded(self.fleet, span[1] - span[0])
