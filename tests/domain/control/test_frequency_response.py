"""Proof of frequency response: what was called for against what was given."""

from typing import Any

import msgspec
import numpy as np
import pytest

from edge.droop import droop_w
from schemas.commands import CommandEvent, CommandFrame, CommandRow
from schemas.grid import Droop
from vpp_streams.domain.control.frequency_response import Armings, Response, responses, setpoints_at
from vpp_streams.replay.frequency_proof import armings_of

DROOP = Droop(nominal_hz=60.0, dead_band_hz=0.036, droop=0.04)
RATED = np.array([5000.0, 10_000.0])
HZ = np.array([60.0] * 40 + [59.8] * 20 + [60.0] * 10)
SETPOINT_W = 1500.0


def armings(*leases: tuple[int, int, int, float]) -> Armings:
    """Of (device, from s, until s, setpoint)."""
    device, from_s, until_s, setpoint = zip(*leases, strict=True) if leases else ((),) * 4
    return Armings(
        np.array(device, np.int64),
        np.array(from_s, np.int64) * 1000,
        np.array(until_s, np.int64) * 1000,
        np.array(setpoint, np.float64),
    )


ALL_THE_TIME = armings((0, 0, 35, SETPOINT_W), (0, 30, 100, SETPOINT_W), (1, 0, 100, SETPOINT_W))


def prove(
    power_w: np.ndarray, hz: np.ndarray = HZ, device: int = 0, armed: Armings = ALL_THE_TIME
) -> list[Response]:
    seconds = len(hz)
    return responses(
        np.full(seconds, device, np.int64),
        np.arange(seconds, dtype=np.int64) * 1000,
        hz,
        power_w,
        armings=armed,
        droop=DROOP,
        rated_charge_w=RATED,
        rated_discharge_w=RATED,
    )


def called_for(hz: np.ndarray = HZ, device: int = 0) -> np.ndarray:
    ratings = np.full(len(hz), RATED[device])
    return droop_w(hz, DROOP, ratings, ratings)


def test_a_device_that_does_as_armed_gives_all_that_was_called_for() -> None:
    (response,) = prove(SETPOINT_W + called_for())
    assert response.share == pytest.approx(1.0)
    assert response.setpoint_w == pytest.approx(SETPOINT_W)
    assert response.samples == 20
    assert response.expected_w > 0, "a low frequency calls for discharge"


def test_half_and_late_and_wrong_way_are_seen() -> None:
    late = np.roll(called_for(), 5)
    assert prove(SETPOINT_W + called_for() / 2)[0].share == pytest.approx(0.5)
    assert prove(SETPOINT_W + late)[0].share == pytest.approx(0.75)
    assert prove(SETPOINT_W - called_for())[0].share == pytest.approx(-1.0)


def test_samples_in_any_order_and_holes_change_nothing() -> None:
    power = SETPOINT_W + called_for(device=1)
    power[45] = np.nan
    order = np.random.default_rng(1).permutation(len(HZ))
    (response,) = responses(
        np.ones(len(HZ), np.int64),
        order * 1000,
        HZ[order],
        power[order],
        armings=ALL_THE_TIME,
        droop=DROOP,
        rated_charge_w=RATED,
        rated_discharge_w=RATED,
    )
    assert (response.device, response.samples) == (1, 19)
    assert response.share == pytest.approx(1.0)


def test_only_what_a_device_does_while_it_is_armed_counts() -> None:
    """Before, it may do anything at any frequency; a new setpoint is a new base."""
    hz = np.full(70, 59.8)
    armed = armings((0, 50, 60, SETPOINT_W), (0, 60, 65, -800.0), (0, 65, 70, np.nan))
    power = called_for(hz)
    power[50:60] += SETPOINT_W
    power[60:65] -= 800.0
    (response,) = prove(power, hz, armed=armed)
    assert response.samples == 15
    assert response.share == pytest.approx(1.0)


def test_without_an_excursion_or_an_arming_nothing_is_claimed() -> None:
    assert prove(np.zeros(70), hz=np.full(70, 60.02)) == []
    assert prove(np.zeros(70), armed=armings()) == []
    assert prove(np.zeros(0), hz=np.zeros(0)) == []


def test_the_later_of_leases_that_overlap_counts() -> None:
    armed = armings((1, 20, 50, 7.0), (0, 0, 30, 1.0), (0, 15, 45, 2.0))
    at_s = np.array([0, 14, 15, 44, 45, 20])
    found = setpoints_at(armed, np.array([0, 0, 0, 0, 0, 1]), at_s * 1000)
    assert found.tolist() == pytest.approx([1.0, 1.0, 2.0, 2.0, np.nan, 7.0], nan_ok=True)


def test_a_device_is_armed_from_when_it_took_a_lease_until_it_ended_it() -> None:
    rows = (
        CommandRow("a", 5, 100.0, 1e3, 0.2),
        CommandRow("b", 6, 200.0, 1e3, 0.2),
        CommandRow("c", 7, None, 1e3, 0.2),
        CommandRow("d", 8, 300.0, 1e3, 0.2),
    )
    frame = CommandFrame(
        partition=3,
        rank=9,
        slot=0,
        region="north",
        request_id="t",
        created_at_ms=10_000,
        asked_at_ms=9_000,
        not_before_ms=10_000,
        valid_until_ms=40_000,
        droop=DROOP,
        rows=rows,
    )
    later = msgspec.structs.replace(frame, rank=10, droop=None, not_before_ms=20_000)

    def told(device_id: str, state: Any, at_ms: int, rank: int = 9) -> CommandEvent:
        return CommandEvent(
            device_id=device_id, command_id=f"c3-{rank}", state=state, at_ms=at_ms, epoch=5
        )

    events = [
        told("a", "accepted", 10_150),
        told("a", "applied", 10_400),
        told("a", "opted_out", 25_000),
        told("b", "rejected", 10_150),
        told("c", "accepted", 10_150),
        told("d", "accepted", 10_150),
        told("d", "accepted", 20_100, rank=10),
    ]
    armed = armings_of([frame, later], events, ["a", "b", "c", "d"], DROOP)
    at_ms = np.array([10_100, 10_150, 24_999, 25_000, 15_000, 15_000, 15_000, 21_000])
    found = setpoints_at(armed, np.array([0, 0, 0, 0, 1, 2, 3, 3]), at_ms)
    nan = np.nan
    assert found.tolist() == pytest.approx(
        [nan, 100.0, 100.0, nan, nan, nan, 300.0, nan], nan_ok=True
    )
