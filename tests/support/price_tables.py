"""Price tables as text, and what was read from them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.files.price_files.report import PriceReading

HOUR_MS = 3_600_000
BERLIN = ZoneInfo("Europe/Berlin")


def ms_of(stamp: datetime) -> int:
    """Return a naive UTC datetime as epoch ms."""
    return round(stamp.replace(tzinfo=stamp.tzinfo or UTC).timestamp() * 1000)


def read(text: str, **wanted: object) -> PriceReading:
    """Read a table from its text; ``wanted`` are options of `read_price_file`."""
    return read_price_file(text.encode(), name="DE.csv", **wanted)  # type: ignore[arg-type]


def energy(reading: PriceReading) -> list[float]:
    """Return the energy prices of the only zone."""
    (prices,) = reading.prices.values()
    return prices.energy.tolist()


def starts(reading: PriceReading) -> list[int]:
    """Return the starts of the only zone's intervals, epoch ms."""
    (prices,) = reading.prices.values()
    return prices.start_ms.tolist()


def found(reading: PriceReading) -> dict[str, tuple[int, int]]:
    """Count and loss of each kind of finding; but for what is taken as said."""
    findings = [f for f in reading.report.findings if f.kind != "assumed"]
    assert len({f.kind for f in findings}) == len(findings)
    return {f.kind: (f.count, f.lost) for f in findings}


def assumed(reading: PriceReading) -> str:
    """Return what the reading assumed, as one text."""
    return " ".join(f"{f.what} {f.done}" for f in reading.report.of("assumed"))
