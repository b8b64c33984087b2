"""What a check of a home finds in measurements, sound ones and wrong ones."""

import pytest

from edge.commissioning.judge import (
    ANSWER_MS,
    GIVE_UP_MS,
    Finding,
    Pulse,
    Sample,
    all_well,
    balance,
    clock,
    obstacle,
    quantities,
    signs,
    typical,
)

SOUND: Sample = {
    "load_w": 800.0, "solar_w": 2000.0, "battery_w": -900.0, "grid_w": -300.0, "soc": 0.6
}  # fmt: skip


def pulsed(power_w: float, answers: list[tuple[int, float, float]]) -> Finding:
    """The finding of a pulse from (ms, battery_w, grid_w); before it, both were 0 and 500 W."""
    pulse = Pulse(power_w, {"battery_w": 0.0, "grid_w": 500.0}, 1000)
    found = None
    for at_ms, battery_w, grid_w in answers:
        assert found is None
        found = pulse.measured({"battery_w": battery_w, "grid_w": grid_w}, 1000 + at_ms)
    assert found is not None
    return found


def test_a_sound_home() -> None:
    assert [step(SOUND).outcome for step in (quantities, balance, signs)] == ["ok"] * 3
    assert "not measured: frequency_hz, islanded" in quantities(SOUND).seen


def test_the_median_hides_one_odd_sample() -> None:
    odd = SOUND | {"grid_w": 5000.0}
    assert typical([SOUND, odd, SOUND]) == SOUND
    assert typical([SOUND, {}, {"soc": 0.6}])["load_w"] == 800.0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"grid_w": 300.0}, "sign of grid_w reversed"),
        ({"battery_w": 900.0}, "sign of battery_w reversed"),
        ({"battery_w": 900.0, "grid_w": 300.0}, "sign of battery_w and grid_w reversed"),
        ({"solar_w": -2000.0}, "sign of solar_w reversed"),
        ({"load_w": 1500.0}, "load 1500 W, solar + battery + grid 800 W"),
    ],
)
def test_an_imbalance_names_the_sign_that_explains_it(wrong: Sample, words: str) -> None:
    found = balance(SOUND | wrong)
    assert found.outcome == "failed"
    assert words in found.seen
    assert found.what_to_do


def test_a_balance_that_cannot_be_checked() -> None:
    found = balance({"battery_w": 0.0, "soc": 0.5})
    assert (found.outcome, found.seen) == ("not tried", "load_w, solar_w, grid_w is not measured")


def test_signs_that_cannot_be_and_a_percentage() -> None:
    assert "solar_w -2000 W" in signs(SOUND | {"solar_w": -2000.0}).seen
    assert "battery_w too small" in signs(SOUND | {"battery_w": 5.0}).seen
    assert quantities(SOUND | {"soc": 60.0}).outcome == "failed"
    assert quantities({}).outcome == "failed"


def test_a_clock_that_is_off_by_an_hour() -> None:
    found = clock(3_600_000, 12.4)
    assert (found.outcome, "3600.0 s ahead of" in found.seen) == ("failed", True)
    assert "timedatectl" in found.what_to_do
    good = clock(-40, 12.4)
    assert (good.outcome, "round trip 12 ms" in good.seen) == ("ok", True)
    assert "no answer to a ping" in clock(0, None).seen


def test_a_pulse_that_is_answered() -> None:
    found = pulsed(500.0, [(1000, 0.0, 500.0), (3000, 480.0, 20.0), (4000, 500.0, 0.0)])
    assert found == Finding("pulse +500 W", "ok", "500 W after 3.0 s")


def test_one_that_is_passed_through_is_not_answered_by_a_moment() -> None:
    found = pulsed(500.0, [(1000, 500.0, 0.0), (2000, 1500.0, 0.0), (GIVE_UP_MS, 1500.0, 0.0)])
    assert found.outcome == "failed"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(GIVE_UP_MS, 0.0, 500.0)], "battery 0 W, expected 500 W, within 25 s"),
        ([(2000, -500.0, 1000.0), (GIVE_UP_MS, -500.0, 1000.0)], "it went the other way"),
        (
            [(ANSWER_MS + 2000, 500.0, 0.0), (ANSWER_MS + 3000, 500.0, 0.0)],
            "500 W after 12.0 s, expected within 10 s",
        ),
        ([(1000, 500.0, 1000.0), (2000, 500.0, 1000.0)], "grid_w moved by +500 W with it"),
    ],
)
def test_a_pulse_that_fails(answers: list[tuple[int, float, float]], words: str) -> None:
    found = pulsed(500.0, answers)
    assert found.outcome == "failed"
    assert words in found.seen
    assert not all_well([found])


def test_why_a_power_cannot_be_held() -> None:
    assert "at the reserve, 20%" in obstacle(500.0, 0.2, 0.2)
    assert "full" in obstacle(-500.0, 1.0, 0.2)
    assert "grid connection" in obstacle(500.0, 0.6, 0.2)
