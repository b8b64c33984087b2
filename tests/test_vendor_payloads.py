"""Real payloads: every file gives a reading whose identity holds, or a reason for a person."""

import math
from collections import Counter
from pathlib import Path

import pytest

from schemas.telemetry import Quality, Reading, Rejection
from vpp_streams.domain.normalize import guess_vendor, normalize
from vpp_streams.domain.normalize.document import balance_tolerance_w

PAYLOADS = Path(__file__).parents[1].parent / "shared" / "data" / "vendor_payloads"
TABLE = Path(__file__).parents[1] / "docs" / "vendors.md"
NOW = 1_800_000_000_000
FOLDER_VENDOR = {
    "enphase_envoy": "enphase",
    "fronius_pyfronius": "fronius",
    "tesla_fleet_api": "tesla_fleet",
    "tesla_gateway_jrester": "tesla_gateway",
    "tesla_gateway_pypowerwall": "tesla_gateway",
    "tesla_gateway_vloschiavo": "tesla_gateway",
    "home_assistant_core": "tesla_fleet",
}

pytestmark = pytest.mark.skipif(not PAYLOADS.is_dir(), reason="the shared recordings are not here")


def payload_files() -> list[Path]:
    return sorted(
        f
        for f in PAYLOADS.rglob("*")
        if f.is_file() and not f.name.startswith(("LICENSE", "NOTE", "_readme"))
    )


def outcome(file: Path) -> tuple[str, Reading | Rejection]:
    body = file.read_bytes()
    vendor = guess_vendor(body) or FOLDER_VENDOR[file.relative_to(PAYLOADS).parts[0]]
    return vendor, normalize(vendor, body, None, 1000, NOW)


def table(outcomes: list[tuple[str, Reading | Rejection]]) -> str:
    """The outcome by vendor, as docs/vendors.md shows it."""
    lines = ["| vendor | files | readings | rejected, by reason |", "| --- | --- | --- | --- |"]
    for vendor in sorted({vendor for vendor, _ in outcomes}):
        found = [result for name, result in outcomes if name == vendor]
        readings = sum(isinstance(result, Reading) for result in found)
        reasons = Counter(result.reason for result in found if isinstance(result, Rejection))
        said = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        lines.append(f"| {vendor} | {len(found)} | {readings} | {said} |")
    return "\n".join(lines) + "\n"


def test_every_payload_is_a_sound_reading_or_a_reason() -> None:
    for file in payload_files():
        _, found = outcome(file)
        if isinstance(found, Rejection):
            assert found.reason.isidentifier(), file
            assert found.detail.endswith("."), file
            continue
        powers = (found.battery_w, found.grid_w, found.solar_w, found.load_w)
        assert found.quality is not Quality.BAD, file
        if not math.isnan(found.balance_error_w):
            assert abs(found.balance_error_w) <= balance_tolerance_w(*powers), file


def test_the_table_in_the_docs_is_what_comes_out() -> None:
    assert table([outcome(file) for file in payload_files()]) in TABLE.read_text()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "tesla_gateway_jrester/meters_aggregates.json",
            {"battery_w": -10, "grid_w": -5347.455078125, "solar_w": 6099.032958984375},
        ),
        (
            "tesla_gateway_pypowerwall/api.meters.aggregates.json",
            {"battery_w": -990, "grid_w": 27, "solar_w": 1840, "load_w": 866.25},
        ),
        (
            "tesla_gateway_pypowerwall/api.system_status.soe.json",
            {"soc": (20.109166592431226 - 5) / 95},
        ),
        (
            "home_assistant_core/teslemetry__live_status.json",
            {"battery_w": 5060, "grid_w": 0, "load_w": 6245, "solar_w": 1185},
        ),
        (
            "home_assistant_core/fronius_gen24_storage__GetPowerFlowRealtimeData.json",
            {"grid_w": 2274.9, "load_w": 2459.3092254638673, "soc": 0.046},
        ),
        (
            "enphase_envoy/7.6.175_with_cts/production.json",
            {"grid_w": -11.468, "solar_w": 488.154, "load_w": 476.686},
        ),
        ("enphase_envoy/8.2.127_with_generator_running/ivp_ensemble_power", {"battery_w": -1250}),
    ],
)
def test_known_values(file: str, expected: dict[str, float]) -> None:
    _, found = outcome(PAYLOADS / file)
    assert isinstance(found, Reading)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value)


if __name__ == "__main__":
    print(table([outcome(file) for file in payload_files()]))  # noqa: T201 - it makes the table
