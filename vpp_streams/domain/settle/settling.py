"""Settles the awards and events of a region: from windows and agreements to entries.

The shell keeps the inputs and the records that it wrote. It settles an interval again whenever one
of its inputs changed; only what differs from what stands becomes entries.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from schemas.market import Award, Delivery
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.market.overrides import Override
from vpp_streams.domain.settle.agreements import Enrolled
from vpp_streams.domain.settle.attribution import (
    Delivered,
    OptOut,
    delivered_in,
    spans_of,
    taking_part,
)
from vpp_streams.domain.settle.baselines import Calendar
from vpp_streams.domain.settle.corrections import NOTHING, Standing, settled
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import Energies, SiteWindows, Span
from vpp_streams.domain.settle.market_lines import award_lines
from vpp_streams.domain.settle.periods import Books
from vpp_streams.domain.settle.program_lines import Event, event_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What is known of a region's sites and their agreements at a time."""

    fleet: Fleet
    windows: SiteWindows
    enrolled: Enrolled
    """At the start of the interval that is settled."""
    calendar: Calendar
    books: Books
    opt_outs: tuple[OptOut, ...] = ()

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
            takes_part=taking_part(self.fleet.site_ids, span, self.opt_outs),
        )
        return settled(lines, self.books, before)

    def settle_event(
        self, event: Event, *, overrides: Iterable[Override] = (), before: Standing = NOTHING
    ) -> pa.RecordBatch | None:
        """The entries of what programs pay for an event by rate; None = they stand already."""
        lines = event_lines(
            event,
            self.fleet,
            self._delivered(event.span, event.span[0], overrides),
            self.enrolled,
            takes_part=taking_part(self.fleet.site_ids, event.span, self.opt_outs),
        )
        return settled(lines, self.books, before)

    def _delivered(
        self, span: Span, event_start_ms: int, overrides: Iterable[Override]
    ) -> Delivered:
        return delivered_in(
            span,
            event_start_ms,
            self._energies(span, spans_of(overrides)),
            self.enrolled,
            history=self._energies,
            calendar=self.calendar,
        )

    def _energies(self, span: Span, without: Iterable[Span] = ()) -> Energies:
        rows = self.windows.rows(self.fleet.site_ids)
        found = self.windows.energies(rows, span, without)
        return found.bounded(self.fleet, span[1] - span[0])
