"""The unit of a column of power (W, kW, MW, GW): in its header, a row or column, or given.

It is understood as a whole, and all that say it agree; otherwise the file is refused.
"""

import re
from collections.abc import Sequence

from vpp_streams.domain.files.price_files.report import Notes, RefusedError, Wanted
from vpp_streams.domain.files.price_files.table_header import Layout
from vpp_streams.domain.files.price_files.table_units import NO_CURRENCY, Units

_IN_MW = {"w": 1e-6, "kw": 1e-3, "mw": 1.0, "gw": 1e3}
_WAY_OUT = "write it into the header as load (MW), or give --unit MW"
_BRACKETS = re.compile(r"[(\[{]([^)\]}]*)[)\]}]")


def power_units(
    layout: Layout,
    units_row: Sequence[str] | None,
    rows: Sequence[Sequence[str]],
    wanted: Wanted,
    notes: Notes,
) -> Units:
    """The factor of the first column to MW, by all that says its unit. Raises `RefusedError`.

    ``rows`` are those that are read, each as wide as the header.
    """
    column = layout.values[0]
    said = _in_header(column.name)
    said += [text for at in layout.units for text in sorted({row[at] for row in rows if row[at]})]
    said += [units_row[column.at]] if units_row else []
    said += [wanted.unit] if wanted.unit is not None else []
    spelled = {text.strip().lower() for text in said}
    odd = sorted(spelled - _IN_MW.keys())
    if odd or len(spelled) != 1:
        why = "it is not said"
        if odd:
            why = f"{odd[0][:20]!r} is no unit of power that is known here"
        elif spelled:
            why = f"it is said to be {' and '.join(sorted(spelled))}"
        raise RefusedError(
            f"the unit of its column {column.name[:40]!r} is not certain: {why}; {_WAY_OUT}"
        )
    factor = _IN_MW[spelled.pop()]
    if factor != 1.0:
        notes.add("converted", "Powers that are not in MW.", f"multiplied by {factor:g}")
    return Units((factor,) * len(layout.values), NO_CURRENCY)


def _in_header(name: str) -> list[str]:
    """What a header says in brackets, and units that stand in it as words of their own."""
    groups = _BRACKETS.findall(name)
    words = re.split(r"[\W_]+", _BRACKETS.sub(" ", name).lower())
    return [*groups, *(word for word in words if word in _IN_MW and word != "w")]
