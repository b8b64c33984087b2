"""What a settlement rests on: sites, terms, windows, opt-outs and months, and these at a moment."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa

from schemas.assets import Site
from schemas.programs import Program
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.agreements import Agreements, Enrolled
from vpp_streams.domain.settle.baselines import Calendar, spans_needed
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import MINUTE_S, SiteWindows, Span
from vpp_streams.domain.settle.leaving import OptOuts
from vpp_streams.domain.settle.past import Need, Past
from vpp_streams.domain.settle.periods import Books, month_bounds_ms, month_of
from vpp_streams.domain.settle.settling import Region

NO_PAST = Past(SiteWindows())
_MINUTE_MS = MINUTE_S * 1000


class Basis:
    """What is known now."""

    def __init__(self, registry: Registry, zone: ZoneInfo) -> None:
        self.registry = registry
        self.books = Books(zone)
        self.agreements = Agreements()
        self.windows = SiteWindows()
        self.opt_outs = OptOuts()

    def pays(self, so: Callable[[Program], bool]) -> bool:
        """Whether there is a program with such terms."""
        return any(map(so, self.agreements.programs()))

    def region(self, region: str, start_ms: int, past: Past = NO_PAST) -> Region:
        """A region with its sites, and what their owners had agreed to, at a moment."""
        fleet, enrolled = self._sites(region, start_ms)
        zone = self.books.zone
        return Region(
            fleet=fleet,
            windows=self.windows,
            enrolled=enrolled,
            calendar=Calendar(zone, lambda day: np.full(len(fleet), day in past.event_days)),
            books=self.books,
            past=past.windows,
            opt_outs=self.opt_outs.within(month_bounds_ms(month_of(start_ms, zone), zone)),
        )

    def need(self, region: str, span: Span, event_start_ms: int) -> Need | None:
        """What the baselines of sites in an interval need to know of earlier days; None = none."""
        fleet, enrolled = self._sites(region, span[0])
        by_days = enrolled.rates([int(by_similar_days(one)) for one in enrolled.programs]) == 1
        if not by_days.any() or span[0] % _MINUTE_MS or span[1] % _MINUTE_MS:
            return None
        calendar = Calendar(self.books.zone, lambda _day: by_days)
        return Need(
            region=region,
            site_ids=tuple(fleet.site_ids.filter(pa.array(by_days)).to_pylist()),
            spans=spans_needed(span, event_start_ms, calendar),
            zone=self.books.zone,
        )

    def _sites(self, region: str, start_ms: int) -> tuple[Fleet, Enrolled]:
        sites = (_as_it_was(site, start_ms) for site in self.registry.sites())
        fleet = Fleet.of(region, sites)
        return fleet, self.agreements.columns(fleet.site_ids.to_pylist(), start_ms)


def by_similar_days(program: Program) -> bool:
    """Whether a program compares with similar days."""
    return program.baseline == "ten_of_ten"


def _as_it_was(site: Site, at_ms: int) -> Site:
    """The site in the state that it had at a moment: who was active then is paid."""
    known = tuple(change for change in site.history if change.since_ms <= at_ms)
    return msgspec.structs.replace(site, history=known or site.history[:1])
