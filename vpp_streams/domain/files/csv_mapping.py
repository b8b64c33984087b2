"""The mapping file: what the columns of a recorded home's CSV mean. See docs/examples/mappings.

`parse_mapping` checks all that can be known without the CSV; `vpp_streams.domain.files.csv_home`
reads the CSV by it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

from schemas.assets import Device, Site
from schemas.telemetry import POWER_COLUMNS
from vpp_streams.errors import InputError

ISO_8601 = "iso8601"


class TimeColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The column with a row's time, and the interval that a row covers."""

    column: str
    interval_s: Annotated[int, msgspec.Meta(gt=0, le=86_400)]
    """Length of every row's interval, seconds."""
    timezone: str
    """IANA name, for stamps without an offset; a stamp's own offset takes precedence."""
    format: str = ISO_8601
    """``iso8601`` or a ``strptime`` format."""
    stamp: Literal["start", "end"] = "start"
    """Which end of the interval the stamp names."""


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CSV column as (part of) a canonical field."""

    column: str
    unit: str
    """W, kW, or Wh, kWh per interval; fraction, percent; Hz; V; C."""
    sign: Literal[1, -1] = 1
    """-1 where the file has the opposite sign; ours: battery + = discharge, grid + = import."""


class HomeMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of a mapping file."""

    time: TimeColumn
    columns: dict[str, Term | list[Term]]
    """Canonical field -> a column, or several whose values add up."""
    site: Site
    """The home, with the one device that its readings belong to."""
    about: str = ""
    not_measured: tuple[str, ...] = ("", "NaN", "nan")
    """Cells that say *not measured*; surrounding blanks are ignored."""
    derive_grid: bool = False
    """Where grid_w is absent: load - solar - battery of those mapped; the quality is estimated."""
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","

    @property
    def device(self) -> Device:
        """The device whose readings the rows are."""
        return self.site.devices[0]

    @property
    def interval_ms(self) -> int:
        """Length of every row's interval, ms."""
        return self.time.interval_s * 1000

    def terms(self, field: str) -> list[Term]:
        """The columns that add up to a canonical field."""
        found = self.columns[field]
        return [found] if isinstance(found, Term) else found


def factors(field: str, interval_s: int) -> Mapping[str, float]:
    """Units that a canonical field may be given in, each with its factor to ours.

    An energy per interval becomes the mean power of that interval.
    """
    if field in POWER_COLUMNS:
        per_hour = 3600 / interval_s
        return {"W": 1.0, "kW": 1000.0, "Wh": per_hour, "kWh": 1000.0 * per_hour}
    return {
        "soc": {"fraction": 1.0, "percent": 0.01},
        "frequency_hz": {"Hz": 1.0},
        "voltage_v": {"V": 1.0},
        "temperature_c": {"C": 1.0},
    }.get(field, {})


FIELDS = (*POWER_COLUMNS, "soc", "frequency_hz", "voltage_v", "temperature_c")
"""Canonical fields that a column can be mapped to."""


def parse_mapping(document: object, name: str) -> HomeMapping:
    """Check the decoded YAML of a mapping file; ``name`` is the file's, for the message.

    Raises `InputError` that says what is wrong and what would be right.
    """
    try:
        mapping = msgspec.convert(document, HomeMapping)
    except msgspec.ValidationError as error:
        raise InputError(f"{name}: {error}") from None
    problem = next(_problems(mapping), None)
    if problem:
        raise InputError(f"{name}: {problem}")
    return mapping


def _problems(mapping: HomeMapping) -> Iterator[str]:
    yield from _time_problems(mapping.time)
    if len(mapping.site.devices) != 1:
        yield (
            f"site.devices has {len(mapping.site.devices)} devices; it must have one, the one"
            " whose readings the rows are"
        )
    for field in mapping.columns:
        yield from _field_problems(field, mapping)
    if not mapping.columns.keys() & set(POWER_COLUMNS):
        yield f"columns maps no power; map at least one of {', '.join(POWER_COLUMNS)}"
    if mapping.derive_grid and "load_w" not in mapping.columns:
        yield "derive_grid needs load_w among the columns (grid = load - solar - battery)"


def _time_problems(time: TimeColumn) -> Iterator[str]:
    try:
        ZoneInfo(time.timezone)
    except (ValueError, OSError, KeyError):
        yield (
            f"time.timezone: there is no timezone {time.timezone!r}; give an IANA name such as"
            " Australia/Sydney or UTC"
        )


def _field_problems(field: str, mapping: HomeMapping) -> Iterator[str]:
    units = factors(field, mapping.time.interval_s)
    if not units:
        yield f"columns: there is no canonical field {field!r}; there are {', '.join(FIELDS)}"
        return
    if not mapping.terms(field):
        yield f"columns.{field}: names no column"
    for term in mapping.terms(field):
        if term.unit not in units:
            yield f"columns.{field}: unit {term.unit!r} must be one of {', '.join(units)}"


def unknown_columns(mapping: HomeMapping, header: Sequence[str]) -> list[str]:
    """Columns that the mapping names and the CSV does not have, in the mapping's order."""
    named = [mapping.time.column]
    named += [term.column for field in mapping.columns for term in mapping.terms(field)]
    return [column for column in dict.fromkeys(named) if column not in header]
