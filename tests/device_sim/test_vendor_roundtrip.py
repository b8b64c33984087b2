"""A vendor's form, read by our normaliser, gives back what the device measured."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim import vendor
from device_sim.fleet import demo_sites
from device_sim.world import World
from schemas.assets import Device
from schemas.telemetry import NativeBody, Quality, Reading, VendorBody
from vpp_streams.domain.telemetry.normalize import normalize

START_MS = 1_763_856_000_000


def read(body: VendorBody, received_at_ms: int = START_MS) -> Reading:
    received_at_ms = max(received_at_ms, body.t or 0)
    reading = normalize(body.vendor, bytes(body.body), body.t, body.iv, received_at_ms)
    assert isinstance(reading, Reading), reading
    return reading


def known(value: float | None) -> float:
    return math.nan if value is None else value


def as_measured(body: NativeBody) -> dict[str, float]:
    return {
        "battery_w": known(body.p),
        "grid_w": known(body.g),
        "solar_w": known(body.pv),
        "load_w": known(body.l),
        "soc": known(body.soc),
    }


def as_read(reading: Reading, names: dict[str, float]) -> dict[str, float]:
    return {name: getattr(reading, name) for name in names}


def noon_of_a_fleet() -> list[tuple[Device, NativeBody]]:
    devices = [(site, device) for site in demo_sites(40, 30, 1) for device in site.devices]
    noon_ms = START_MS + 20 * 3_600_000
    measured = World(devices, 1, noon_ms - 1000).step(noon_ms).values()
    pairs = zip(devices, measured, strict=True)
    return [(device, NativeBody(noon_ms, *values)) for (_, device), values in pairs]


def test_every_device_of_a_fleet_that_has_a_vendors_form() -> None:
    seen = set()
    for device, body in noon_of_a_fleet():
        name = vendor.vendor_of(device, 1.0, seed=1)
        if name is None:
            assert device.model in ("iq_battery", "megapack2xl")
            continue
        seen.add((name, device.kind))
        reading = read(vendor.render(name, body))
        want = as_measured(body)
        assert as_read(reading, want) == pytest.approx(want, abs=1e-4, nan_ok=True), device
        assert reading.measured_at_ms == body.t
        assert reading.quality is not Quality.BAD
    assert seen == {
        ("tesla_gateway", "powerwall"),
        ("fronius", "powerwall"),
        ("fronius", "solar"),
        ("enphase", "solar"),
    }


POWERS_W = st.floats(-20_000, 20_000).map(lambda w: round(w, 1))


@given(p=POWERS_W, g=POWERS_W, pv=st.floats(1, 20_000), soc=st.floats(0, 1), isl=st.booleans())
def test_a_powerwalls_form_keeps_signs_scale_and_island(
    p: float, g: float, pv: float, soc: float, isl: bool
) -> None:
    body = NativeBody(START_MS, p, g, pv, max(p + g + pv, 0.0), soc, 60.01, 120.3, 24.0, isl)
    reading = read(vendor.render("tesla_gateway", body))
    want = {**as_measured(body), "frequency_hz": 60.01, "voltage_v": 120.3}
    assert as_read(reading, want) == pytest.approx(want, abs=1e-5)
    assert reading.islanded == int(isl)


@given(p=POWERS_W, g=POWERS_W, pv=st.floats(1, 20_000), soc=st.floats(0, 1))
def test_fronius_counts_load_negative_and_we_read_it_positive(
    p: float, g: float, pv: float, soc: float
) -> None:
    body = NativeBody(START_MS, p, g, pv, max(p + g + pv, 0.0), soc)
    wrapped = vendor.render("fronius", body)
    assert b'"P_Load":-' in bytes(wrapped.body) or body.l == 0
    want = as_measured(body)
    assert as_read(read(wrapped), want) == pytest.approx(want, abs=1e-4)


def test_panels_at_night_are_null_at_fronius_and_so_not_measured() -> None:
    reading = read(vendor.render("fronius", NativeBody(START_MS, g=300.0, pv=0.0, l=300.0)))
    assert math.isnan(reading.solar_w)
    assert (reading.grid_w, reading.load_w) == (300.0, 300.0)


@pytest.mark.parametrize("name", ["fronius", "enphase"])
def test_a_device_that_measures_only_solar_is_read_so(name: str) -> None:
    reading = read(vendor.render(name, NativeBody(START_MS, pv=1500.0)))
    assert reading.solar_w == 1500.0
    assert all(math.isnan(w) for w in (reading.battery_w, reading.grid_w, reading.load_w))


def test_about_the_share_speaks_and_it_is_always_the_same_devices() -> None:
    devices = [site.devices[0] for site in demo_sites(600, 60, 2)]
    able = [d for d in devices if vendor.vendor_of(d, 1.0, 1)]
    speaking = [d for d in able if vendor.vendor_of(d, 0.3, 1)]
    assert 0.25 < len(speaking) / len(able) < 0.35
    assert speaking == [d for d in able if vendor.vendor_of(d, 0.3, 1)]
    assert not [d for d in devices if vendor.vendor_of(d, 0.0, 1)]
    assert len({vendor.firmware_of(d, vendor.vendor_of(d, 1.0, 1)) for d in devices}) > 5
