"""Rules: which measurements open an incident. A rule compares one measurement with a threshold."""

from typing import Annotated

import msgspec

from schemas.bounds import Id, Positive
from schemas.incidents import IncidentKind, Severity

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class Kind(msgspec.Struct, frozen=True):
    """What a kind of incident measures."""

    unit: str
    """``s``, ``share`` (0..1) or ``count``."""
    of: str
    """What the value is, in words."""


KINDS: dict[IncidentKind, Kind] = {
    "region_silent": Kind("s", "age of the region's newest telemetry"),
    "sites_silent": Kind("share", "share of the region's sites that do not report"),
    "dispatch_silent": Kind("s", "age of the newest report of the region's dispatch"),
    "not_commandable": Kind("share", "share of the region's batteries that cannot be commanded"),
    "held": Kind("s", "time for which the region has been held"),
    "power_missing": Kind("share", "share of the requested power that is missing"),
    "delivery_missed": Kind("share", "deviation of the newest delivery from its award"),
    "bids_refused": Kind("count", "offers that the market refused in the last hour"),
    "process_silent": Kind("s", "time since any process of the role has reported"),
    "records_refused": Kind("count", "records that were refused in the last 5 minutes"),
    "readings_refused": Kind("share", "share of readings that were refused in the last 5 minutes"),
}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Opens an incident once its measurement was above the threshold for a while."""

    id: Id
    kind: IncidentKind
    severity: Severity
    above: Positive
    """Threshold, in the unit of the kind."""
    for_s: Seconds = 0.0
    """How long the value must be above it before an incident opens."""
    clear_s: Seconds = 30.0
    """How long the value must not be above it before the incident closes."""
    regions: tuple[Id, ...] = ()
    """Empty = all. Kinds that concern no region disregard it."""

    def concerns(self, region: str) -> bool:
        """Whether it applies to a region ("" = a measurement of no region)."""
        return not region or not self.regions or region in self.regions


def faults_of(rules: tuple[Rule, ...]) -> list[str]:
    """Why rules cannot be used together, a sentence each; empty = they can."""
    faults = []
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            faults.append(f"rule {rule.id!r} is there twice")
        seen.add(rule.id)
        if KINDS[rule.kind].unit == "share" and rule.above >= 1:
            faults.append(
                f"rule {rule.id!r}: {rule.kind} is a share of 0 to 1, never above {rule.above:g}"
            )
    return faults
