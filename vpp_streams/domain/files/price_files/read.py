"""Recognises any price file by its content, and reads it."""

import re
from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo

from schemas.market import Product
from vpp_streams.domain.files.price_files.aemo import is_aemo, read_aemo
from vpp_streams.domain.files.price_files.entsoe import read_entsoe
from vpp_streams.domain.files.price_files.report import PriceReading, Report, Wanted
from vpp_streams.domain.files.price_files.table import read_table
from vpp_streams.domain.files.price_files.units import Unit, read_unit
from vpp_streams.errors import InputError

_PACKED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


def read_price_file(
    data: bytes,
    *,
    name: str,
    zone: str | None = None,
    time_zone: str | None = None,
    currency: str | None = None,
    unit: str | None = None,
    decimal: Literal[".", ","] | None = None,
    interval_ms: int | None = None,
    columns: Mapping[Product, str] | None = None,
    extra: tuple[str, ...] = (),
) -> PriceReading:
    """The prices of a file: AEMO (MMS records or flat CSV), ENTSO-E A44 XML, or a CSV table.

    ``name`` without its endings names the zone of a table that names none. For the other
    arguments see `Wanted`. A file that gives no price is no error: see `Report.failure`. Raises
    `InputError` for a ``time_zone`` or a ``currency`` that does not exist, and for a ``unit`` that
    is not understood.
    """
    _check(time_zone, currency, unit)
    wanted = Wanted(
        zone=zone,
        time_zone=time_zone,
        currency=currency,
        unit=unit,
        decimal=decimal,
        interval_ms=interval_ms,
        columns=columns or {},
        extra=extra,
    )
    return _read(data, name, wanted)


def read_power_file(
    data: bytes,
    *,
    name: str,
    column: str,
    zone: str | None = None,
    time_zone: str | None = None,
    unit: str | None = None,
    decimal: Literal[".", ","] | None = None,
    interval_ms: int | None = None,
) -> PriceReading:
    """The power in a column of a CSV table, MW, in place of the prices of energy.

    ``unit`` is W, kW, MW or GW. Otherwise as `read_price_file`.
    """
    _check(time_zone, None, None)
    wanted = Wanted(
        zone=zone,
        time_zone=time_zone,
        unit=unit,
        decimal=decimal,
        interval_ms=interval_ms,
        columns={"energy": column},
        power=True,
    )
    return _read(data, name, wanted)


def _read(data: bytes, name: str, wanted: Wanted) -> PriceReading:
    for magic, packing in _PACKED.items():
        if data.startswith(magic):
            return _nothing(f"it is packed ({packing}); unpack it first")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    # All after the first character is left to the XML parser, the encoding too.
    if data[:400].decode(encoding, "replace").lstrip()[:1] == "<":
        if named := (*wanted.extra, *(wanted.columns.values() if wanted.power else ())):
            return _nothing(f"it is XML, which has no column {named[0]!r}; name columns of tables")
        return read_entsoe(data.lstrip(), wanted)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return _nothing("it is no text in UTF-8; save it as UTF-8")
    if is_aemo(text) and not wanted.power:
        return read_aemo(text, wanted)
    return read_table(text, _stem(name), wanted)


def _nothing(failure: str) -> PriceReading:
    return PriceReading({}, Report("", failure=failure))


def _stem(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].partition(".")[0] or "zone"


def _check(time_zone: str | None, currency: str | None, unit: str | None) -> None:
    if currency is not None and not re.fullmatch("[A-Z]{3}", currency):
        raise InputError(f"{currency!r} is no currency; give its three letters, such as EUR")
    read = None if unit is None else read_unit(f"({unit})")
    if unit is not None and not (isinstance(read, Unit) and read.measure == "energy"):
        why = f": {read}" if isinstance(read, str) else ""
        raise InputError(f"{unit!r} is no unit of price{why}; write EUR/MWh, p/kWh or ct EUR/kWh")
    if time_zone is None:
        return
    try:
        ZoneInfo(time_zone)
    except (ValueError, OSError, KeyError):
        raise InputError(
            f"there is no time zone {time_zone!r}; give an IANA name such as Europe/Berlin or UTC"
        ) from None
