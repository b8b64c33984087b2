"""The report of earnings by site: from the ledger, in which each home's money is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa

from vpp_streams.domain.history.days import day_of
from vpp_streams.domain.history.kinds import Kind
from vpp_streams.domain.history.reports import EACH, Question
from vpp_streams.domain.history.site_earnings import Span, earnings_rows
from vpp_streams.domain.settle.periods import month_bounds_ms
from vpp_streams.errors import InputError
from vpp_streams.history.reports import MOST_ROWS, Answer
from vpp_streams.settlement.queries import closed_periods
from vpp_streams.settlement.site_sums import entry_sums, first_entry_ms
from vpp_streams.statements.reading import LedgerReader

MOST_PERIODS = 3_000
"""More rows of one site than a month has quarters of an hour are no report."""


def is_in_ledger(report: str, site: str | None) -> bool:
    """Whether a report is answered from the ledger, not from history."""
    return report == "earnings" and site is not None


@dataclass(frozen=True, slots=True)
class LedgerEarnings:
    """Earnings of a site, or of `EACH`; asked as a history is."""

    reader: LedgerReader
    site: str

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the books."""
        return self.reader.zone

    def first_day(self, kinds: Sequence[Kind]) -> date | None:  # noqa: ARG002  # as a history's
        """The day of the first entry; None where there is none. Raises `LedgerError`."""
        named = None if self.site == EACH else self.site
        first_ms = self.reader.read(lambda ledger: first_entry_ms(ledger, named))
        return None if first_ms is None else day_of(first_ms, self.zone)

    def answer(self, question: Question) -> Answer:
        """The report. Raises `InputError` where it is too large, `LedgerError`."""
        boundaries = question.boundaries.tolist()
        spans = list(pairwise(boundaries))
        if len(spans) > MOST_PERIODS:
            raise InputError(
                f"the report has {len(spans):,} rows for each site; choose a longer group, or a"
                " shorter span"
            )
        rows = self.reader.read(lambda ledger: self._rows(ledger, question, spans))
        if len(rows) > MOST_ROWS:
            raise InputError(
                f"the report has more than {MOST_ROWS:,} rows; choose a longer group, a shorter"
                " span, a region or a site"
            )
        return Answer(question, rows, complete_until_ms=0)

    def _rows(self, ledger: sa.Connection, question: Question, spans: Sequence[Span]) -> pa.Table:
        closed = max((row.period for row in closed_periods(ledger)), default=None)
        sums = entry_sums(
            ledger,
            spans,
            self.zone,
            site_id=None if question.site == EACH else question.site,
            region=None if question.region in (None, EACH) else question.region,
        )
        closed_until_ms = 0 if closed is None else month_bounds_ms(closed, self.zone)[1]
        rows = earnings_rows(question, spans, sums, closed_until_ms)
        return rows.select([column.name for column in question.columns])
