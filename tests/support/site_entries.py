"""Entries of a home, as statements read them from the ledger."""

from typing import Any

from vpp_streams.domain.ledger.site_entries import SiteEntry

START, FIVE = 1_761_000_000_000, 300_000


def entry(number: int = 0, **changes: Any) -> SiteEntry:
    """A share of an interval: 100 Wh for 0.8 cents; ``number`` counts intervals."""
    fields: dict[str, Any] = {
        "kind": "share", "region": "north", "market": "sim", "start_ms": START + number * FIVE,
        "interval_ms": FIVE, "program_id": "p", "program_version": 1, "revision": 0,
        "reverses": False, "period": "2025-10", "stated_period": "2025-10", "micros": 8_000,
        "currency": "EUR", "energy_wh": 150.0, "baseline_wh": 50.0, "delivered_wh": 100.0,
        "coverage": 1.0, "price_per_mwh": 100.0, "share": 0.8, "window_revision": 0,
    }  # fmt: skip
    return SiteEntry(**(fields | changes))
