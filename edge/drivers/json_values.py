"""Values in a JSON document that may be anything: a local API of another firmware, or of nobody."""

import math
from typing import Any


def at(document: Any, *keys: str) -> Any:
    """The value below these keys; None where there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def items(document: Any) -> list[Any]:
    """The values of an object, in its order; nothing of anything else."""
    return list(document.values()) if isinstance(document, dict) else []


def number(value: Any) -> float | None:
    """A finite number; None for anything else, true and false among it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
