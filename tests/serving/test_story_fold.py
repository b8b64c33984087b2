"""A story without ordinary renewals: they are counted, and what goes wrong in one is told."""

import msgspec
import pytest

from schemas.commands import CommandEvent, CommandState
from tests.support.web_records import NOW_MS, command_frame
from vpp_streams.serving.story import StoryLine, story_of
from vpp_streams.serving.story_fold import folded

DEVICE = "pw-001"
STEP_MS = 15_000
LEASES = 240
"""An hour of one lease."""


def event(number: int, state: CommandState, after_ms: int) -> CommandEvent:
    at_ms = NOW_MS + number * STEP_MS
    return CommandEvent(
        device_id=DEVICE, command_id=f"c0-{at_ms}", state=state, at_ms=at_ms + after_ms, epoch=17
    )


def story(setpoints_w: list[float | None], *more: CommandEvent) -> list[StoryLine]:
    """Commands every 15 seconds, each accepted, applied, and superseded by the next."""
    frames = [
        command_frame(NOW_MS + n * STEP_MS, {DEVICE: watts}) for n, watts in enumerate(setpoints_w)
    ]
    events = list(more)
    for number in range(len(frames)):
        events += [event(number, "accepted", 50), event(number, "applied", 900)]
        if number + 1 < len(frames):
            events.append(event(number, "superseded", STEP_MS + 40))
    return story_of(DEVICE, frames, events, NOW_MS + len(frames) * STEP_MS)


def test_an_hour_of_renewals_is_one_lease() -> None:
    lines = story([3000.0] * LEASES)
    assert len(lines) > 1000
    short = folded(lines)
    assert [line.state for line in short] == ["created", "routed", "accepted", "applied"]
    assert short[0].said.endswith(f"(by request target-1), renewed {LEASES - 1} times")
    assert short[0].until_ms == NOW_MS + (LEASES - 1) * STEP_MS + 30_000


def test_another_setpoint_is_another_lease() -> None:
    short = folded(story([3000.0, 3000.0, -1000.0, -1000.0, None]))
    created = [line for line in short if line.state == "created"]
    assert ["renewed once" in line.said for line in created] == [True, True, False]
    assert [line.state for line in short].count("superseded") == 2


@pytest.mark.parametrize("state", ["rejected", "failed", "opted_out"])
def test_a_renewal_that_goes_wrong_is_told(state: CommandState) -> None:
    wrong = event(2, state, 20)
    short = folded(story([3000.0] * 4, wrong))
    [told] = [line for line in short if line.state == state]
    assert (told.command_id, told.renews) == (wrong.command_id, f"c0-{NOW_MS}")


def test_a_lease_that_had_ended_or_served_another_request_is_not_renewed() -> None:
    late = command_frame(NOW_MS + 30_000, {DEVICE: 3000.0})
    other = msgspec.structs.replace(
        command_frame(NOW_MS + 31_000, {DEVICE: 3000.0}), request_id="b"
    )
    lines = story_of(DEVICE, [command_frame(NOW_MS, {DEVICE: 3000.0}), late, other], [], NOW_MS)
    assert {line.renews for line in lines} == {""}
