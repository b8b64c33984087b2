"""An entry of a site, as its owner may see it."""

from typing import NamedTuple

from schemas.settlement import EntryKind


class SiteEntry(NamedTuple):
    """An entry of a site. Energies are NaN where nothing was measured.

    A tuple, because a site has thousands of them in a month.
    """

    kind: EntryKind
    region: str
    market: str
    start_ms: int
    interval_ms: int
    program_id: str
    program_version: int
    revision: int
    reverses: bool
    period: str
    """Month in which it counts."""
    stated_period: str
    """Month that it is of, where that one had been closed."""
    micros: int
    """What it adds to what the owner is owed; negative = takes away."""
    currency: str
    window_revision: int
    """Sum of the revisions of the windows that it was computed from; -1 = none."""
    energy_wh: float
    """Measured at the connection, + = export."""
    baseline_wh: float
    """The same without the dispatch."""
    delivered_wh: float
    """Energy that counts, + = export."""
    coverage: float
    price_per_mwh: float
    share: float
