"""What a driver measured as a reading, and the simulated driver's timer."""

from edge.driver import QUANTITIES, Capabilities, Reading, body_of, values_of
from edge.drivers.simulated import Options, SimulatedHome
from schemas.bodies import NativeBody, Quality


def test_a_reading_has_only_what_was_measured() -> None:
    readings = (
        Reading("battery_w", 1500.0),
        Reading("grid_w", 0.0),
        Reading("solar_w", 0.0, Quality.MISSING),
        Reading("load_w", 1480.0, Quality.ESTIMATED),
        Reading("soc", 0.5),
        Reading("frequency_hz", 0.0, Quality.BAD),
        Reading("temperature_c", float("nan")),
        Reading("islanded", 0.0),
    )
    body = body_of(readings, 1_763_856_000_000, 2000)
    assert body == NativeBody(1_763_856_000_000, p=1500.0, g=0.0, soc=0.5, isl=False, iv=2000)
    usable = values_of(readings, Quality.OK, Quality.ESTIMATED)
    assert usable["load_w"] == 1480.0
    assert "solar_w" not in usable


def test_nothing_measured_is_no_reading() -> None:
    assert body_of((), 0, 1000) is None
    assert body_of((Reading("soc", 0.5, Quality.BAD),), 0, 1000) is None


def test_only_an_inverter_with_a_timer_and_a_known_battery_is_commanded() -> None:
    assert Capabilities(measure=QUANTITIES, set_power=True, reverts_itself=True).commandable
    assert not Capabilities(measure=QUANTITIES, set_power=True).commandable
    assert not Capabilities(measure=QUANTITIES, reverts_itself=True).commandable
    without_soc = QUANTITIES - {"soc"}
    assert not Capabilities(measure=without_soc, set_power=True, reverts_itself=True).commandable


async def test_the_simulated_inverter_reverts_by_its_own_timer() -> None:
    now_ms = 0
    home = SimulatedHome(
        Options(solar_w=0.0, load_w=500.0), now_ms=lambda: now_ms, clock_ms=lambda: 0
    )
    assert (await home.identify()).rated_energy_wh == 13_500
    await home.apply(-4000.0, 10_000)
    now_ms = 9_999
    before = home.soc
    values = values_of(await home.read(), Quality.OK)
    assert set(values) == QUANTITIES
    assert values["battery_w"] == -4000
    assert abs(values["load_w"] - values["grid_w"] - values["battery_w"]) < 0.2
    assert home.soc > before
    now_ms = 70_000
    assert values_of(await home.read(), Quality.OK)["battery_w"] > 500
    charged_wh = 4000 * 0.95 * 10 / 3600
    supplied_wh = home.battery_w / 0.95 * 60 / 3600 + 10.8 * 70 / 3600
    assert abs((home.soc - before) * 13_500 - (charged_wh - supplied_wh)) < 11
