"""Price tables as text, and what was read from them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.files.price_files.report import PriceReading


def ms_of(stamp: datetime) -> int:
    return round(stamp.replace(tzinfo=stamp.tzinfo or UTC).timestamp() * 1000)


def read(text: str, **wanted: object) -> PriceReading:
    return read_price_file(text.encode(), name="DE.csv", **wanted)  # type: ignore[arg-type]


def energy(reading: PriceReading) -> list[float]:
    (prices,) = reading.prices.values()
    return prices.energy.tolist()


def starts(reading: PriceReading) -> list[int]:
    (prices,) = reading.prices.values()
    return prices.start_ms.tolist()


def found(reading: PriceReading) -> dict[str, tuple[int, int]]:
    """Count and loss of each kind of finding; but for what is taken as said."""
    findings = [f for f in reading.report.findings if f.kind != "assumed"]
    assert len({f.kind for f in findings}) == len(findings)
    return {f.kind: (f.count, f.lost) for f in findings}


def assumed(reading: PriceReading) -> str:
    return " ".join(f"{f.what} {f.done}" for f in reading.report.of("assumed"))


HOUR_MS = 3_600_000
BERLIN = ZoneInfo("Europe/Berlin")
