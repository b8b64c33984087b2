"""A device's story: every line in its place, whatever was written in which order."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import CommandEvent, CommandEvents, CommandState
from schemas.encoding import encode_json
from schemas.grid import Droop
from tests.support.web_records import NOW_MS, command_frame
from tests.support.web_world import KafkaInMemory
from vpp_streams.kafka import topics
from vpp_streams.serving.story import StoryLine, read_story, story_of

DEVICE = "pw-001"


def event(frame_ms: int, state: CommandState, after_ms: int, **changes: Any) -> CommandEvent:
    told: dict[str, Any] = {"epoch": 17, **changes}
    return CommandEvent(
        device_id=told.pop("device_id", DEVICE),
        command_id=f"c0-{frame_ms}",
        state=state,
        at_ms=frame_ms + after_ms,
        **told,
    )


def told(lines: list[StoryLine]) -> list[tuple[int, str, str]]:
    return [(line.at_ms - NOW_MS, line.state, line.said) for line in lines]


def test_a_command_is_told_from_its_asking_to_its_end() -> None:
    frame = command_frame(NOW_MS, {DEVICE: 3500.0, "pw-002": 100.0})
    events = [
        event(NOW_MS, "delivered", 40, epoch=None),
        event(NOW_MS, "accepted", 55, epoch=0, power_w=210.0),
        event(NOW_MS, "applied", 3500, power_w=3492.4),
        event(NOW_MS, "completed", 30_000, reason="its end was reached"),
        event(NOW_MS, "rejected", 50, device_id="pw-002"),
    ]
    lines = story_of(DEVICE, [frame], events, NOW_MS + 60_000)
    assert told(lines) == [
        (
            0,
            "created",
            "commanded to discharge 3,500 W for 30 s, reserve 20% (by request target-1)",
        ),
        (0, "routed", "routed to gateway slot 2, connection 17"),
        (40, "delivered", "delivered, reported by the cloud"),
        (55, "accepted", "accepted at +210 W"),
        (3500, "applied", "applied at +3,492 W"),
        (30_000, "completed", "completed: its end was reached"),
    ]
    assert lines[0].until_ms == NOW_MS + 30_000
    assert {line.request_id for line in lines} == {"target-1"}


def test_charge_rest_release_later_start_and_droop_are_told() -> None:
    def asked(setpoint_w: float | None, **changes: Any) -> str:
        frame = command_frame(NOW_MS, {DEVICE: setpoint_w}, **changes)
        return story_of(DEVICE, [frame], [], NOW_MS)[0].said

    assert "charge 1,200 W for 30 s" in asked(-1200.0)
    assert "rest at 0 W" in asked(0.0)
    assert asked(None) == "commanded to end its lease (by request target-1)"
    assert "in 2 s for 28 s" in asked(1.0, not_before_ms=NOW_MS + 2000)
    assert "with droop armed" in asked(1.0, droop=Droop(nominal_hz=60.0))


def test_two_commands_are_told_in_the_order_of_time() -> None:
    frames = [command_frame(NOW_MS, {DEVICE: 1.0}), command_frame(NOW_MS + 15_000, {DEVICE: 2.0})]
    events = [
        event(NOW_MS + 15_000, "accepted", 20),
        event(NOW_MS, "superseded", 15_020),
        event(NOW_MS, "accepted", 20),
    ]
    lines = story_of(DEVICE, frames, events, NOW_MS)
    states = [(line.command_id[-5:], line.state) for line in lines]
    first, second = str(NOW_MS)[-5:], str(NOW_MS + 15_000)[-5:]
    assert states[:5] == [
        (first, "created"),
        (first, "routed"),
        (first, "accepted"),
        (second, "created"),
        (second, "routed"),
    ]
    assert set(states[5:]) == {(first, "superseded"), (second, "accepted")}


def test_a_lease_whose_end_nobody_told_ends_all_the_same() -> None:
    frame = command_frame(NOW_MS, {DEVICE: 1.0})
    applied = event(NOW_MS, "applied", 2000)
    running = story_of(DEVICE, [frame], [applied], NOW_MS + 29_999)
    assert running[-1].state == "applied"
    over = story_of(DEVICE, [frame], [applied], NOW_MS + 30_000)
    assert (over[-1].state, over[-1].at_ms) == ("expired", NOW_MS + 30_000)
    assert "nobody reported" in over[-1].said
    ended = story_of(DEVICE, [frame], [applied, event(NOW_MS, "expired", 30_000)], NOW_MS + 60_000)
    assert sum(line.state == "expired" for line in ended) == 1


def test_an_event_told_again_is_one_line_and_one_without_its_command_is_a_line() -> None:
    accepted = event(NOW_MS, "accepted", 20)
    lines = story_of(DEVICE, [], [accepted, accepted], NOW_MS)
    assert told(lines) == [(20, "accepted", "accepted")]
    assert lines[0].request_id == ""


LIFE: tuple[CommandState, ...] = ("delivered", "accepted", "applied", "completed")


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=5, unique=True),
    st.lists(st.integers(-300, 300), min_size=20, max_size=20),
    st.randoms(use_true_random=False),
)
def test_a_commands_lines_keep_the_order_of_its_life_on_clocks_that_differ(
    slots: list[int], skews: list[int], shuffle: random.Random
) -> None:
    frames = [command_frame(NOW_MS + 15_000 * n, {DEVICE: 100.0 * n + 1}) for n in slots]
    skew = iter(skews)
    lives = [
        event(frame.created_at_ms, state, 10 * step + next(skew))
        for frame in frames
        for step, state in enumerate(LIFE)
    ]
    # The log keeps a device's events in order; commands' own order in the topic does not matter.
    shuffle.shuffle(frames)
    lines = story_of(DEVICE, frames, lives, NOW_MS + 600_000)
    assert len(lines) == len(frames) * (2 + len(LIFE))
    for frame in frames:
        states = [line.state for line in lines if line.command_id == f"c0-{frame.rank}"]
        assert states == ["created", "routed", *LIFE]
    starts = [line.at_ms for line in lines if line.state == "created"]
    assert starts == sorted(starts)


async def test_only_the_devices_partition_and_time_are_read_and_junk_is_left_out() -> None:
    kafka = KafkaInMemory()
    frame = command_frame(NOW_MS - 1000, {DEVICE: 1.0, "pw-0011": 2.0})
    events = CommandEvents(
        source="g",
        partition=3,
        events=(event(frame.rank, "accepted", 5), event(frame.rank, "accepted", 6, device_id="x")),
    )
    kafka.records = [
        (
            topics.COMMANDS,
            3,
            NOW_MS - 90_000,
            encode_json(command_frame(NOW_MS - 90_000, {DEVICE: 9.0})),
        ),
        (topics.COMMANDS, 3, NOW_MS - 1000, encode_json(frame)),
        (
            topics.COMMANDS,
            4,
            NOW_MS - 1000,
            encode_json(command_frame(NOW_MS - 999, {DEVICE: 3.0})),
        ),
        (topics.COMMANDS, 3, NOW_MS - 900, f'{{"rows":[["{DEVICE}"'.encode()),
        (topics.COMMANDS, 3, NOW_MS - 900, None),
        (topics.COMMAND_EVENTS, 3, NOW_MS - 900, encode_json(events)),
        (topics.COMMAND_EVENTS, 3, NOW_MS - 900, f'"{DEVICE}"\xff'.encode("latin-1")),
    ]
    lines = await read_story(kafka, DEVICE, 3, since_ms=NOW_MS - 60_000, now_ms=NOW_MS)
    assert [line.state for line in lines] == ["created", "routed", "accepted"]


def test_the_first_end_in_the_log_is_the_end_and_a_later_one_a_remark() -> None:
    frame = command_frame(NOW_MS, {DEVICE: 3500.0})
    events = [
        event(NOW_MS, "failed", 6_000, epoch=None, reason="no gateway answers for the device"),
        event(NOW_MS, "accepted", 900),
        event(NOW_MS, "completed", 30_000),
        event(NOW_MS, "completed", 30_000),
        event(NOW_MS, "failed", 6_500, epoch=None, reason="no gateway answers for the device"),
    ]
    assert told(story_of(DEVICE, [frame], events, NOW_MS + 60_000))[2:] == [
        (900, "accepted", "accepted"),
        (
            6_000,
            "failed",
            "failed: no gateway answers for the device, reported by the cloud"
            " (reported as completed later)",
        ),
    ]
