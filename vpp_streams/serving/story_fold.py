"""A device's story without the renewals of its leases: a lease is renewed four times a minute."""

from collections.abc import Iterable

from msgspec.structs import replace

from schemas.commands import CommandState
from vpp_streams.serving.story import StoryLine

_ORDINARY: frozenset[CommandState] = frozenset(
    {"created", "routed", "delivered", "accepted", "applied", "superseded"}
)
"""What a renewal is expected to do; whatever else happens to one is told."""


def folded(lines: Iterable[StoryLine]) -> list[StoryLine]:
    """The lines without those of ordinary renewals, which are counted where the lease begins."""
    lines = list(lines)
    renewals: dict[str, list[StoryLine]] = {}
    for line in lines:
        if line.renews and line.state == "created":
            renewals.setdefault(line.renews, []).append(line)
    superseded = {
        id_
        for first, found in renewals.items()
        for id_ in (first, *(line.command_id for line in found[:-1]))
    }
    kept = []
    for line in lines:
        ended = line.state == "superseded" and line.command_id in superseded
        if ended or (line.renews and line.state in _ORDINARY and line.state != "superseded"):
            continue
        if line.state == "created" and (found := renewals.get(line.command_id)):
            times = "once" if len(found) == 1 else f"{len(found)} times"
            kept.append(
                replace(line, said=f"{line.said}, renewed {times}", until_ms=found[-1].until_ms)
            )
        else:
            kept.append(line)
    return kept
