"""What a ledger says, for a comparison with what it should say."""

import pandas as pd

from vpp_streams.settings import Settings
from vpp_streams.settlement.checks import digest, faults
from vpp_streams.settlement.database import open_ledger
from vpp_streams.settlement.queries import site_entries


def booked(settings: Settings, site_ids: list[str]) -> "pd.Series[int]":
    """What the ledger says: start, site, micros."""
    engine = open_ledger(settings)
    with engine.connect() as ledger:
        rows = [
            (entry.start_ms, site_id, entry.micros)
            for site_id in site_ids
            for entry in site_entries(ledger, site_id, 0, 2**50)
        ]
    engine.dispose()
    table = pd.DataFrame(rows, columns=["start", "site", "micros"])
    return table.groupby(["start", "site"])["micros"].sum()


def digest_of(settings: Settings) -> str:
    """The digest of a ledger that is complete and in order."""
    engine = open_ledger(settings)
    with engine.connect() as ledger:
        assert list(faults(ledger)) == []
        found = digest(ledger)
    engine.dispose()
    return found
