"""The condition of a region in one level: what is wrong with it, and what is unusual.

A region is good only where it is known to be commandable. A region without reports, or without
recent ones, is never good.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from schemas.commandable import Commandable, Hindered, Hindrance
from schemas.dispatch import Mode

WARN_SHARE = 0.1
"""A region is not good if this share of its batteries or rated power cannot be commanded."""
BAD_SHARE = 0.5
"""A region is bad if this share of its batteries or rated power cannot be commanded."""
COVERED = 0.9
"""At least this share of the sites must report, or the measurements do not represent the region."""
DELIBERATE: frozenset[Hindrance] = frozenset({"storm"})
"""Causes that are deliberate: shown as what they are, not as batteries that cannot be commanded."""

Level = Literal["good", "warn", "bad"]
_LEVELS: tuple[Level, ...] = ("good", "warn", "bad")
_WHY: dict[Hindrance, str] = {
    "never_seen": "never seen",
    "not_connected": "not connected",
    "silent": "silent",
    "islanded": "cut off from the grid",
    "storm": "kept for a storm",
    "refused": "refused",
    "opted_out": "opted out by their owners",
    "no_answer": "without an answer",
    "unmeasured": "without a state of charge",
    "measures_only": "that can only be measured",
}


class RegionNow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a region at one moment."""

    live_age_s: float | None
    """Seconds since its telemetry was merged; None = never."""
    coverage: float
    """Share of its sites that report, 0..1."""
    sites_reporting: int
    dispatch_age_s: float | None
    """Seconds since the region role published its status; None = never."""
    mode: Mode | None
    partitions_expected: int
    partitions_heard: int
    """Partitions whose supply the region role has; devices of the others cannot be commanded."""
    commandable: Commandable | None
    storm_batteries: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing about a region that a person should see."""

    kind: Literal[
        "telemetry_stale", "dispatch_stale", "held", "storm", "unknown_share", "not_commandable",
        "not_covered", "no_site",
    ]  # fmt: skip
    level: Level
    word: str
    """A few words, for a label."""
    said: str
    """One sentence."""
    alarm: bool
    """Whether it needs attention; a hold or a storm is intended."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A region's level and label, and the findings behind them, the worst first."""

    level: Level
    word: str
    findings: tuple[Finding, ...] = ()


def added(parts: Iterable[Commandable | None]) -> Commandable | None:
    """The sum of several partitions; None where one of them is unknown, or there is none."""
    known = list(parts)
    total: dict[Hindrance, tuple[int, float]] = {}
    batteries = commandable = 0
    rated_w = commandable_w = 0.0
    for part in known:
        if part is None:
            return None
        batteries, rated_w = batteries + part.batteries, rated_w + part.rated_w
        commandable += part.commandable
        commandable_w += part.commandable_w
        for h in part.hindered:
            n, w = total.get(h.cause, (0, 0.0))
            total[h.cause] = n + h.batteries, w + h.rated_w
    if not known:
        return None
    return Commandable(
        batteries=batteries,
        rated_w=rated_w,
        commandable=commandable,
        commandable_w=commandable_w,
        hindered=tuple(Hindered(cause=c, batteries=n, rated_w=w) for c, (n, w) in total.items()),
    )


def lost_share(commandable: Commandable) -> float:
    """Share of a region that cannot be commanded, 0..1: of batteries or of power, the greater.

    What is withheld deliberately (`DELIBERATE`) does not count.
    """
    lost = [h for h in commandable.hindered if h.cause not in DELIBERATE]
    of_batteries = sum(h.batteries for h in lost) / max(commandable.batteries, 1)
    of_power = sum(h.rated_w for h in lost) / max(commandable.rated_w, 1.0)
    return min(max(of_batteries, of_power), 1.0)


def stand(now: RegionNow, stale_after_s: float) -> Standing:
    """The condition of a region; a report older than ``stale_after_s`` counts as unknown."""
    found = sorted(_findings(now, stale_after_s), key=lambda f: -_LEVELS.index(f.level))
    if not found:
        return Standing(level="good", word="Live")
    return Standing(level=found[0].level, word=found[0].word, findings=tuple(found))


def _findings(now: RegionNow, stale_after_s: float) -> Iterator[Finding]:
    """Findings; among those of one level, the more important first."""
    if now.live_age_s is None or now.live_age_s > stale_after_s:
        yield _alarm("telemetry_stale", "bad", "No news", "no telemetry was received from it")
    elif now.sites_reporting == 0:
        yield _alarm("no_site", "bad", "No site reports", "none of its sites reports")
    if now.mode == "hold":
        said = "the region is held: its batteries are not commanded until the hold is withdrawn"
        yield Finding(kind="held", level="bad", word="Held", said=said, alarm=False)
    yield from _command(now, stale_after_s)
    if now.sites_reporting > 0 and now.coverage < COVERED:
        said = f"{now.coverage:.0%} of its sites report"
        yield _alarm("not_covered", "warn", "Partly covered", said)
    if now.storm_batteries:
        said = f"a storm: {_batteries(now.storm_batteries)} kept for their owners"
        yield Finding(kind="storm", level="warn", word="Storm", said=said, alarm=False)


def _command(now: RegionNow, stale_after_s: float) -> Iterator[Finding]:
    """Findings about whether its batteries can be commanded."""
    if now.dispatch_age_s is None or now.dispatch_age_s > stale_after_s:
        said = "no report of its dispatch was received: it is not known to be commandable"
        yield _alarm("dispatch_stale", "bad", "No dispatch report", said)
        return
    silent = now.partitions_expected - now.partitions_heard
    if silent > 0:
        said = (
            f"{silent} of {now.partitions_expected} fleet partitions do not report: their"
            " batteries cannot be commanded, and are not counted"
        )
        yield _alarm("unknown_share", "bad", "Not all can be commanded", said)
    if now.commandable is None:
        if silent <= 0:
            said = "it is not known how many of its batteries can be commanded"
            yield _alarm("unknown_share", "bad", "Commandable share unknown", said)
        return
    lost = lost_share(now.commandable)
    if lost >= WARN_SHARE:
        level: Level = "bad" if lost >= BAD_SHARE else "warn"
        word = f"{lost:.0%} cannot be commanded"
        yield _alarm("not_commandable", level, word, lost_in_words(now.commandable))


def lost_in_words(commandable: Commandable) -> str:
    """How many batteries of a region can be commanded, and why others cannot: one sentence."""
    causes = ", ".join(
        f"{h.batteries:,} {_WHY[h.cause]}"
        for h in sorted(commandable.hindered, key=lambda h: -h.batteries)
    )
    return (
        f"{commandable.commandable:,} of {_batteries(commandable.batteries)} can be commanded"
        f" ({commandable.commandable_w / 1000:,.1f} of {commandable.rated_w / 1000:,.1f} kW):"
        f" {causes}"
    )


def _batteries(count: int) -> str:
    return f"{count:,} {'battery' if count == 1 else 'batteries'}"


def _alarm(kind: str, level: Level, word: str, said: str) -> Finding:
    return Finding(kind=kind, level=level, word=word, said=said, alarm=True)  # type: ignore[arg-type]  # one of its literals
