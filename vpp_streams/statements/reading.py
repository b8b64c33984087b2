"""Reads the ledger for statements: nothing is changed, and everything ends within a time limit."""

from collections.abc import Callable, Collection
from pathlib import Path
from threading import Lock
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from schemas.programs import Program
from schemas.settlement import site_account
from vpp_streams.domain.ledger.site_entries import SiteEntry
from vpp_streams.domain.settle.storm_cost import StormBill
from vpp_streams.domain.statements.arithmetic import Money, money
from vpp_streams.domain.statements.document import MonthBooks, State, StatementDocument, document_of
from vpp_streams.errors import LedgerError
from vpp_streams.settings import Settings
from vpp_streams.settlement.database import ledger_url, open_ledger, plain_errors, shown
from vpp_streams.settlement.payouts import decimals_of
from vpp_streams.settlement.queries import (
    closed_periods,
    month_entries,
    month_sums,
    site_entries,
    sites_of_month,
)
from vpp_streams.settlement.zone import zone_of
from vpp_streams.statements.storms import StormCosts

READ_S = 8
"""How long the database may take to connect, and for one statement."""
T = TypeVar("T")


class MonthLine(msgspec.Struct, frozen=True, kw_only=True):
    """A month in which a site has entries."""

    month: str
    state: State
    total: Money
    """Earned in it."""
    paid_out: Money
    """Transferred to the owner in it, of earlier earnings."""


class LedgerReader:
    """The ledger of these settings, opened when it is needed; may be used by several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.storms = StormCosts(settings)
        self._engine: sa.Engine | None = None
        self._opening = Lock()

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the books. Raises `SettingsError` for one that is unknown."""
        return zone_of(self._settings)

    def entries(self, site_id: str, since_ms: int, until_ms: int) -> list[SiteEntry]:
        """Entries of intervals that start in [since, until). Raises `LedgerError`."""
        return self.read(lambda ledger: site_entries(ledger, site_id, since_ms, until_ms))

    def entries_of_month(self, site_id: str, month: str) -> list[SiteEntry]:
        """Entries that count in a month, in the order of their starts. Raises `LedgerError`."""
        return self.read(lambda ledger: month_entries(ledger, site_id, month))

    def months(self, site_id: str) -> list[MonthLine]:
        """The months in which a site has entries, newest first. Raises `LedgerError`."""

        def read(ledger: sa.Connection) -> list[MonthLine]:
            closed = {row.period for row in closed_periods(ledger)}
            return [
                MonthLine(
                    month=one.period,
                    state="closed" if one.period in closed else "open",
                    total=money(one.earned_micros, one.currency),
                    paid_out=money(one.paid_out_micros, one.currency),
                )
                for one in reversed(month_sums(ledger, site_id))
            ]

        return self.read(read)

    def sites(self, month: str) -> list[str]:
        """The sites that have entries in a month, by id. Raises `LedgerError`."""
        return self.read(lambda ledger: sites_of_month(ledger, month))

    def statement(
        self,
        site_id: str,
        month: str,
        programs: Collection[Program],
        storms: StormBill | None = None,
    ) -> StatementDocument:
        """A site's statement for a month. Raises `LedgerError`."""
        zone = self.zone

        def read(ledger: sa.Connection) -> StatementDocument:
            closed = {row.period for row in closed_periods(ledger)}
            sums = month_sums(ledger, site_id)
            currencies = {one.currency for one in sums if one.period <= month}
            if len(currencies) > 1:
                raise LedgerError(
                    f"{site_account(site_id)} has entries in {' and '.join(sorted(currencies))}:"
                    " a statement has one currency; `vpp ledger balance` shows each"
                )
            currency = next(iter(currencies), "")
            books = MonthBooks(
                zone=zone,
                closed=month in closed,
                owed_before_micros=sum(
                    one.earned_micros - one.paid_out_micros for one in sums if one.period < month
                ),
                decimals=decimals_of(currency) if currency else 2,
                currency=currency,
                storms=storms,
            )
            entries = month_entries(ledger, site_id, month)
            return document_of(site_id, month, entries, programs, books)

        return self.read(read)

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """What ``work`` reads. Raises `LedgerError`."""
        engine = self._opened()
        with plain_errors(engine), engine.connect() as connection:
            return work(connection)

    def _opened(self) -> sa.Engine:
        with self._opening:
            if self._engine is None:
                url = ledger_url(self._settings)
                file = url.database if url.get_backend_name() == "sqlite" else None
                if file is not None and not Path(file).exists():
                    raise LedgerError(
                        f"there is no ledger in {shown(url)}; set VPP_LEDGER to its database, or"
                        " build it with `vpp settlement run`"
                    )
                self._engine = open_ledger(self._settings, reads_for_s=READ_S)
            return self._engine
