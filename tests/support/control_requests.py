"""Dispatch requests with defaults for every field that a test leaves open."""

import msgspec

from schemas.dispatch import (
    Hold,
    Limit,
    Target,
    Withdraw,
)

T0 = 1_800_000_000_000
MINUTE_MS = 60_000


def target(id_: str = "t1", **fields: object) -> Target:
    """Return an operator's 15-minute target of 100 kW export in region north."""
    asked = Target(
        request_id=id_,
        region="north",
        export_w=100_000.0,
        starts_at_ms=T0,
        ends_at_ms=T0 + 15 * MINUTE_MS,
        priority="operator",
        source="operator:ann",
        issued_at_ms=T0,
    )
    return msgspec.structs.replace(asked, **fields)


def limit(id_: str = "l1", **fields: object) -> Limit:
    """Return the grid's one-hour import limit of 50 kW in region north."""
    asked = Limit(
        request_id=id_,
        region="north",
        import_limit_w=50_000.0,
        starts_at_ms=T0,
        ends_at_ms=T0 + 60 * MINUTE_MS,
        source="grid:dso",
        issued_at_ms=T0,
    )
    return msgspec.structs.replace(asked, **fields)


def hold(id_: str = "h1", at_ms: int = T0) -> Hold:
    """Return an operator's hold of region north."""
    return Hold(request_id=id_, region="north", source="operator:ann", issued_at_ms=at_ms)


def withdraw(of: str, id_: str = "w1", region: str = "north") -> Withdraw:
    """Return the withdrawal of another request."""
    return Withdraw(
        request_id=id_, region=region, withdraws=of, source="operator:ann", issued_at_ms=T0
    )
