"""Fills the tables of `docs/devices.md`, the specification of ``vpp.v1``, from ``schemas/``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; everything else of the page is
written by hand.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from schemas import grid, protocol, telemetry
from schemas.bounds import MAX_TIME_MS
from vpp_streams.errors import VppError
from vpp_streams.kafka.contracts import FROM_DEVICE, TO_DEVICE, Contract, json_schema

_TABLE = re.compile(r"<!-- table: ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)
_CONTRACTS: tuple[Contract, ...] = (
    *FROM_DEVICE,
    *TO_DEVICE,
    telemetry.NativeBody,
    protocol.BackfillPace,
    grid.Droop,
)
_HUGE = 2**53
"""A limit above it keeps numbers within a column; nobody reaches it."""
_PATTERNS = {r"^[0-9a-fA-F]{1,8}(?!\n)$": "1 to 8 hex digits"}


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with its tables replaced. Raises `VppError` for a table that does not exist."""

    def table(found: re.Match[str]) -> str:
        name = found[1]
        if name not in tables:
            raise VppError(f"there is no table {name}; there are {', '.join(sorted(tables))}")
        return f"<!-- table: {name} -->\n\n{tables[name]}\n\n<!-- end -->"

    return _TABLE.sub(table, page)


def message_tables() -> dict[str, str]:
    """A table of the fields of each message, by the message's name."""
    return {contract.__name__: field_table(contract) for contract in _CONTRACTS}


def field_table(contract: Contract) -> str:
    """The fields of one contract: name, type, limits, default and meaning."""
    definition = json_schema(contract)["$defs"][contract.__name__]
    required = definition.get("required", ())
    rows = [
        f"| `{name}` | {_type_of(field)} | {_limits_of(field)} |"
        f" {'required' if name in required else _default_of(field)} |"
        f" {field.get('description', '').replace('``', '`')} |"
        for name, field in definition["properties"].items()
    ]
    head = ["| field | type | limits | default | meaning |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _type_of(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type_of(each) for each in field["anyOf"])
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if "enum" in field:
        return "string"
    return str(field.get("type", "any JSON"))


def _limits_of(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return "; ".join(words for each in field["anyOf"] if (words := _limits_of(each)))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if (pattern := field.get("pattern")) is not None:
        return _PATTERNS.get(pattern, f"`{pattern}`")
    items = field.get("items")
    inner = _limits_of(items) if isinstance(items, Mapping) else ""
    parts = (_range_of(field), _length_of(field), f"each {inner}" if inner else "")
    return "; ".join(part for part in parts if part)


def _range_of(field: Mapping[str, Any]) -> str:
    above, low, high = (field.get(k) for k in ("exclusiveMinimum", "minimum", "maximum"))
    words = []
    if above is not None:
        words.append(f"> {above:g}")
    if low is not None and abs(low) < _HUGE:
        words.append(f"≥ {low:,}" if isinstance(low, int) else f"≥ {low:g}")
    if high == MAX_TIME_MS:
        words.append("up to the year 9999")
    elif high is not None and abs(high) < _HUGE:
        words.append(f"≤ {high:,}" if isinstance(high, int) else f"≤ {high:g}")
    return ", ".join(words)


def _length_of(field: Mapping[str, Any]) -> str:
    least, most = (field.get(key) for key in ("minLength", "maxLength"))
    if most is not None:
        return f"{least or 0} to {most} characters"
    least, most = (field.get(key) for key in ("minItems", "maxItems"))
    if most is not None:
        return f"{least} values" if least == most else f"{least or 0} to {most:,} values"
    return ""


def _default_of(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return ""
    if value in ("", []):
        return "empty"
    return f"`{json.dumps(value).strip(chr(34))}`"
