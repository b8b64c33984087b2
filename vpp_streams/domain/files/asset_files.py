"""Reads asset files (YAML or CSV) into sites, and reports all problems of a file at once.

Both forms become blocks of text cells with their line numbers, which one set of rules reads, so a
value means the same in either. A file describes each of its sites completely; only a device's
token may be left out, and the device then keeps the token it has, and the site's state, which then
stays. ``removed`` is the earlier form of the state *retired*.
"""

import csv
import difflib
import hashlib
import io
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

import msgspec
import yaml

from schemas.assets import Device, Site, SiteState
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.registry.states import continued, why_not
from vpp_streams.errors import InputError

Format = Literal["yaml", "csv"]
SHOWN_PROBLEMS = 50
IMPORTED = "imported"
"""Reason of a change of state by a file."""

_FORMATS: dict[str, Format] = {".yaml": "yaml", ".yml": "yaml", ".csv": "csv"}
_ID = "an id (letters, digits and . _ : -, at most 64, starting with a letter or digit)"
_WATTS = "a power in watts, 0 or more"
_EXPECTED = {
    "site_id": _ID,
    "region": _ID,
    "device_id": _ID,
    "kind": "one of powerwall, solar, megapack",
    "rated_energy_wh": "an energy in watt hours, 0 or more",
    "rated_charge_w": _WATTS,
    "rated_discharge_w": _WATTS,
    "rated_solar_w": _WATTS,
    "export_limit_w": _WATTS,
    "import_limit_w": _WATTS,
    "backup_reserve": "a fraction from 0 to 1 (20 % is 0.2)",
    "latitude": "degrees from -90 to 90",
    "longitude": "degrees from -180 to 180",
    "state": "one of planned, commissioning, active, suspended, retired",
    "removed": "true or false",
    "meters_connection": "true or false",
    "token_sha256": "64 hex digits (see `vpp assets token`)",
}
_RANGE = {"latitude": 90.0, "longitude": 180.0}
_NEEDED = {
    "powerwall": ("rated_energy_wh", "rated_charge_w", "rated_discharge_w"),
    "megapack": ("rated_energy_wh", "rated_charge_w", "rated_discharge_w"),
    "solar": ("rated_solar_w",),
}
_SITE_TYPES = {
    f.name: f.type for f in msgspec.structs.fields(Site) if f.name not in ("devices", "history")
} | {"state": SiteState}
_DEVICE_TYPES = {f.name: f.type for f in msgspec.structs.fields(Device)} | {"token": str}


class Problem(NamedTuple):
    """One problem of a file."""

    line: int
    """Line of the file, from 1."""
    field: str
    """Name of the field; empty where the problem is not about one field."""
    text: str
    """What is wrong and what is expected, in plain words."""

    def __str__(self) -> str:
        return f"{self.line}: {self.field + ': ' if self.field else ''}{self.text}"


class _Cell(NamedTuple):
    text: str
    line: int


class _Block(NamedTuple):
    """A site or a device as it stands in a file."""

    line: int
    cells: dict[str, _Cell]
    devices: "list[_Block]"


def format_of(name: str) -> Format:
    """The format of a file, by the ending of its name. Raises `InputError`."""
    format_ = _FORMATS.get(PurePath(name).suffix.lower())
    if format_ is None:
        raise InputError(f"{name}: unknown kind of file; name it .yaml, .yml or .csv")
    return format_


def sites_of(text: str, name: str, known: Registry, now_ms: int) -> list[Site]:
    """The sites of the file ``name``. Raises `InputError` with every problem, one per line."""
    sites: list[Site] = []
    problems: list[str] = []
    for found in read_assets(text, format_of(name), known, now_ms):
        if isinstance(found, Site):
            sites.append(found)
        else:
            problems.append(f"{name}:{found}")
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        rest = [f"... and {more} more"] if more > 0 else []
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = [f"{count} in {name}, nothing was written", *problems[:SHOWN_PROBLEMS], *rest]
        raise InputError("\n  ".join(lines))
    return sites


def read_assets(
    text: str, format_: Format, known: Registry, now_ms: int = 0
) -> list[Site] | list[Problem]:
    """The sites of a file, or all of its problems (never both; the list is never empty).

    ``known`` is the registry that the sites will be added to: its devices keep their tokens, and
    may not appear at a second site; its sites keep their history. A new state begins at ``now_ms``.
    """
    problems: list[Problem] = []
    blocks = (_yaml_blocks if format_ == "yaml" else _csv_blocks)(text, problems)
    sites = [_site(block, known, now_ms, problems) for block in blocks]
    _check_ids(blocks, known, problems)
    if not blocks and not problems:
        problems.append(Problem(1, "", "there are no sites in it"))
    return sorted(set(problems)) or [site for site in sites if site is not None]


# One set of rules


def _site(block: _Block, known: Registry, now_ms: int, problems: list[Problem]) -> Site | None:
    fields = _fields(block, _SITE_TYPES, ("site_id", "region"), "site", problems)
    devices = [_device(device, known, problems) for device in block.devices]
    before = known.record(fields.get("site_id", ""))
    state = _state(block, fields, before, problems)
    if problems:
        return None
    site = Site(**fields, devices=tuple(device for device in devices if device is not None))
    return continued(site, before, state, since_ms=now_ms, reason=IMPORTED)


def _state(
    block: _Block, fields: dict[str, Any], before: Site | None, problems: list[Problem]
) -> SiteState | None:
    """Take the state that a site shall have from its fields; None = the file does not say."""
    state: SiteState | None = fields.pop("state", None)
    removed = fields.pop("removed", False)
    if removed and state is not None:
        text = "say `state: retired` instead, not both"
        problems.append(Problem(block.cells["removed"].line, "removed", text))
    state = "retired" if removed else state
    if state and before and (why := why_not(before.state, state)):
        problems.append(Problem(block.cells["state"].line, "state", why))
    return state


def _device(block: _Block, known: Registry, problems: list[Problem]) -> Device | None:
    fields = _fields(block, _DEVICE_TYPES, ("device_id", "kind"), "device", problems)
    for name in _NEEDED.get(fields.get("kind", ""), ()):
        if fields.get(name) == 0 or name not in block.cells:
            text = f"a {fields['kind']} needs it, more than 0"
            problems.append(Problem(block.line, name, text))
    token, digest = fields.pop("token", None), fields.get("token_sha256")
    if token and digest:
        problems.append(Problem(block.line, "token", "give token or token_sha256, not both"))
    elif token:
        fields["token_sha256"] = hashlib.sha256(token.encode()).hexdigest()
    elif not digest and (entry := known.device(fields.get("device_id", ""))):
        fields["token_sha256"] = entry[0].token_sha256
    return None if problems else Device(**fields)


def _fields(
    block: _Block,
    types: dict[str, Any],
    needed: tuple[str, ...],
    what: str,
    problems: list[Problem],
) -> dict[str, Any]:
    """The cells that could be read; the others become problems."""
    values: dict[str, Any] = {}
    for name, cell in block.cells.items():
        if name not in types:
            problems.append(Problem(cell.line, name, _unknown(name, types, what)))
            continue
        value = _value(name, cell.text, types[name])
        if value is None:
            text = f"{_shown(name, cell.text)} is not {_EXPECTED.get(name, 'a text')}"
            problems.append(Problem(cell.line, name, text))
        else:
            values[name] = value
    problems += [
        Problem(block.line, name, f"a {what} needs it: {_EXPECTED[name]}")
        for name in needed
        if name not in block.cells
    ]
    return values


def _value(name: str, text: str, type_: Any) -> Any:
    """The typed value of a cell, or None where it is not one."""
    try:
        value = msgspec.convert(text, type_, strict=False)
    except msgspec.ValidationError:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if name in _RANGE and (not isinstance(value, float) or abs(value) > _RANGE[name]):
        return None
    if name == "token_sha256" and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return None
    return value.lower() if name == "token_sha256" else value


def _shown(name: str, text: str) -> str:
    return "this" if name.startswith("token") else repr(text[:40])


def _unknown(name: str, types: Iterable[str], what: str) -> str:
    near = difflib.get_close_matches(name, list(types), 1)
    return f"a {what} has no such field{f'; is it {near[0]}?' if near else ''}"


def _check_ids(blocks: list[_Block], known: Registry, problems: list[Problem]) -> None:
    first: dict[tuple[str, str], int] = {}
    ids = {block.cells["site_id"].text for block in blocks if "site_id" in block.cells}
    for block in blocks:
        site_id = _first_use(block, "site_id", first, problems)
        for device in block.devices:
            device_id = _first_use(device, "device_id", first, problems)
            entry = known.device(device_id)
            if entry and entry[1].site_id != site_id and entry[1].site_id not in ids:
                text = f"{device_id} belongs to site {entry[1].site_id}; name that site here too"
                problems.append(Problem(device.line, "device_id", text))


def _first_use(
    block: _Block, name: str, first: dict[tuple[str, str], int], problems: list[Problem]
) -> str:
    cell = block.cells.get(name)
    if cell is None:
        return ""
    if (line := first.get((name, cell.text))) is not None:
        problems.append(Problem(cell.line, name, f"{cell.text} is already on line {line}"))
    first.setdefault((name, cell.text), cell.line)
    return cell.text


# YAML


def _yaml_blocks(text: str, problems: list[Problem]) -> list[_Block]:
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problems.append(Problem(line, "", f"this is not YAML: {error.problem}"))
        return []
    except (yaml.YAMLError, RecursionError) as error:
        problems.append(Problem(1, "", f"this is not YAML: {str(error).splitlines()[0]}"))
        return []
    top = dict(_pairs(root)) if isinstance(root, yaml.MappingNode) else {}
    if list(top) != ["sites"]:
        problems.append(Problem(1, "", "a file starts with `sites:` and holds nothing else"))
        return []
    return _yaml_list(top["sites"], "sites", "devices", problems)


def _yaml_list(
    node: yaml.Node, field: str, inner: str | None, problems: list[Problem]
) -> list[_Block]:
    """The mappings of a list; ``inner`` names the list that each of them may hold in turn."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.SequenceNode):
        problems.append(Problem(line, field, "this must be a list, each entry after a `-`"))
        return []
    blocks = []
    for entry in node.value:
        block = _Block(entry.start_mark.line + 1, {}, [])
        if not isinstance(entry, yaml.MappingNode):
            problems.append(Problem(block.line, field, "each entry must be `name: value` lines"))
            continue
        for name, value in _pairs(entry):
            at = value.start_mark.line + 1
            if name == inner:
                block.devices.extend(_yaml_list(value, name, None, problems))
            elif name in block.cells:
                problems.append(Problem(at, name, "this is given twice"))
            elif not isinstance(value, yaml.ScalarNode):
                problems.append(Problem(at, name, "this must be one value"))
            elif value.value.strip() and value.tag != "tag:yaml.org,2002:null":
                block.cells[name] = _Cell(value.value.strip(), at)
        blocks.append(block)
    return blocks


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    for key, value in node.value:
        yield (key.value if isinstance(key, yaml.ScalarNode) else "?"), value


# CSV: one row a device, the site's columns on its first row or on each


_SIGNS = {";": "semicolons", "\t": "tabs"}


def _csv_blocks(text: str, problems: list[Problem]) -> list[_Block]:
    first, _, _ = text.partition("\n")
    if "," not in first and (other := next((sign for sign in ";\t" if sign in first), None)):
        wrong = f"the columns are separated by {_SIGNS[other]}; write them with commas"
        problems.append(Problem(1, "", wrong))
        return []
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    sites: dict[str, _Block] = {}
    try:
        header = [name.strip() for name in next(reader, [])]
        problems.extend(Problem(1, "", wrong) for wrong in _header_problems(header))
        if problems:
            return []
        before = reader.line_num
        for row in reader:
            line, before = before + 1, reader.line_num
            if len(row) > len(header):
                wrong = f"{len(row)} values in a row of {len(header)} columns"
                problems.append(Problem(line, "", wrong))
            elif any(value.strip() for value in row):
                cells = {
                    name: _Cell(value.strip(), line)
                    for name, value in zip(header, row, strict=False)
                    if value.strip()
                }
                _add_row(_Block(line, cells, []), sites, problems)
    except csv.Error as error:
        problems.append(Problem(max(reader.line_num, 1), "", f"this is not CSV: {error}"))
    return list(sites.values())


def _header_problems(header: list[str]) -> Iterator[str]:
    columns = [*_SITE_TYPES, *_DEVICE_TYPES]
    for name in header:
        if name not in columns:
            yield f"column {name!r}: {_unknown(name, columns, 'site or device')}"
        elif header.count(name) > 1:
            yield f"column {name!r} is there twice"
    for name in ("site_id", "region", "device_id", "kind"):
        if name not in header:
            yield f"there is no column {name!r} (values are separated by commas)"


def _add_row(row: _Block, sites: dict[str, _Block], problems: list[Problem]) -> None:
    mine = {name: cell for name, cell in row.cells.items() if name in _SITE_TYPES}
    if "site_id" not in mine:
        problems.append(Problem(row.line, "site_id", f"a row needs it: {_EXPECTED['site_id']}"))
        return
    site = sites.setdefault(mine["site_id"].text, _Block(row.line, mine, []))
    for name, cell in mine.items():
        if site.cells.setdefault(name, cell).text != cell.text:
            text = f"{cell.text!r} here, but {site.cells[name].text!r} on line"
            problems.append(Problem(cell.line, name, f"{text} {site.cells[name].line}"))
    device = {name: cell for name, cell in row.cells.items() if name in _DEVICE_TYPES}
    site.devices.append(_Block(row.line, device, []))
