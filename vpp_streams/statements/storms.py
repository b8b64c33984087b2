"""What storms really cost a home: its windows from history, by its owner's tariff."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import structlog

from schemas.assets import Site
from schemas.grid import Alert
from schemas.preferences import Preferences
from vpp_streams.domain.history.kinds import BY_NAME
from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.domain.settle.intervals import QUARTER_S
from vpp_streams.domain.settle.periods import month_bounds_ms
from vpp_streams.domain.settle.storm_cost import Metered, StormBill, added, storm_bill
from vpp_streams.domain.statements.storm_times import storm_quarters
from vpp_streams.errors import InputError
from vpp_streams.history.reports import open_history
from vpp_streams.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StormFacts:
    """What is known of storms and a home."""

    alerts: Sequence[Alert]
    site: Site
    chosen: Preferences | None
    """What the owner decided; None = nothing."""
    terms: Agreements


class StormCosts:
    """Reads a history's directory; where there is none, no cost is known."""

    def __init__(self, settings: Settings) -> None:
        self._root: Path = settings.history_dir
        self._lateness_ms = settings.window_retention_s * 1000

    def bill(self, facts: StormFacts, month: str, zone: ZoneInfo, now_ms: int) -> StormBill | None:
        """The cost of the storms of a month until now; None = no storm, or no tariff is known.

        Blocks while it reads. What is not in history, or cannot be read, is unknown.
        """
        since_ms, until_ms = month_bounds_ms(month, zone)
        site_id, within = facts.site.site_id, (since_ms, min(until_ms, now_ms))
        quarters = storm_quarters(facts.alerts, facts.site, facts.chosen, within)
        tariffs = {at_ms: facts.terms.tariff(site_id, at_ms) for at_ms in quarters}
        if not any(tariffs.values()):
            return None
        measured = self._measured(site_id, quarters)
        bills = []
        for at_ms, tariff in tariffs.items():
            one = measured.get(at_ms)
            if tariff is None or one is None:
                bills.append(StormBill(0, 1))
            else:
                bills.append(storm_bill(tariff, [one]))
        return added(bills)

    def _measured(self, site_id: str, quarters: Sequence[int]) -> dict[int, Metered]:
        try:
            history = open_history(self._root, self._lateness_ms)
            rows = history.query(
                BY_NAME["site_windows"],
                [(quarters[0], quarters[-1] + QUARTER_S * 1000)],
                lambda once: (
                    f"SELECT start_ms, grid_energy_wh, battery_energy_wh FROM {once}"
                    " WHERE site_id IN (SELECT site_id FROM wanted_site)"
                    " AND grid_energy_wh IS NOT NULL AND battery_energy_wh IS NOT NULL"
                ),
                {"wanted_site": pa.table({"site_id": [site_id]})},
            )
        except InputError as error:
            log.warning("the cost of storms is not known", reason=str(error))
            return {}
        return {
            row["start_ms"]: Metered(
                row["start_ms"], row["grid_energy_wh"], row["battery_energy_wh"]
            )
            for row in rows.to_pylist()
        }
