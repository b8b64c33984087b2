"""Finds a file's decimal mark from all of its numbers, and reads a number by it.

``1.236`` is a little more than one where points are decimal, and more than a thousand where they
group digits. Other numbers of the file show which: ``12,5``, ``0.065`` or ``1.236,50``.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

Mark = Literal[".", ","]
"""A decimal mark; the other one may group thousands."""

_SURE = 0.9
"""Numbers that show the mark must agree at least in this share."""
_NUMBER = re.compile(r"[+-]?([\d.,' \u2019\u00a0\u202f]*\d[.,]?)(?:e[+-]?\d{1,3})?", re.I | re.A)
_SPACES = re.compile(r"(?<=\d)[' \u2019\u00a0\u202f](?=\d{3}(?:\D|$))", re.A)
_OPEN = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.A)
_GROUPED = {
    ".": re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?", re.A),
    ",": re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+(?:,\d*)?", re.A),
}
_PLAIN = {".": re.compile(r"\d+\.?\d*|\.\d+", re.A), ",": re.compile(r"\d+,?\d*|,\d+", re.A)}

_Sign = Literal["point", "comma", "open_point", "open_comma", "whole", "long", ""]
"""What a number shows: a decimal mark for certain; a mark that can be either; none, and below
1000; none, and above, so that digits are not grouped."""


class Plain(NamedTuple):
    """A number as text that `float` reads."""

    text: str
    is_grouped: bool
    """Whether marks between thousands were left out."""


def decimal_mark(texts: Iterable[str], comma_separates_cells: bool) -> Mark | None:
    """The decimal mark of all these numbers; None where they leave it open."""
    signs = Counter(map(_sign, texts))
    point, comma = signs["point"], signs["comma"]
    mark: Mark = "." if point >= comma else ","
    if point or comma:
        grouped = signs["open_comma" if mark == "." else "open_point"]
        sure = max(point, comma) >= _SURE * (point + comma) and max(point, comma) > grouped
        return mark if sure else None
    opens = signs["open_point"], signs["open_comma"]
    if all(opens):
        return None
    if not any(opens) or (comma_separates_cells and opens[0]):
        return "."
    seen, other = (".", ",") if opens[0] else (",", ".")
    if signs["long"]:
        return "." if seen == "." else ","
    # Numbers with three decimals are whole once in a thousand: most are, so these are thousands.
    if signs["whole"] > max(opens):
        return "." if other == "." else ","
    return None


def plain_number(text: str, mark: Mark) -> Plain | None:
    """A number with a decimal point and without groups; None where it does not fit the mark."""
    text = text.strip().replace("\u2212", "-")
    if "_" in text or not _NUMBER.fullmatch(text):
        return None
    joined = _SPACES.sub("", text)
    sign, digits, exponent = _parts(joined)
    if _PLAIN[mark].fullmatch(digits):
        return Plain(sign + digits.replace(",", ".") + exponent, joined != text)
    if _GROUPED[mark].fullmatch(digits):
        without = digits.replace("," if mark == "." else ".", "")
        return Plain(sign + without.replace(",", ".") + exponent, True)
    return None


def _parts(text: str) -> tuple[str, str, str]:
    """Sign, digits with their marks, and exponent."""
    digits = text.lstrip("+-")
    head, e, exponent = digits.lower().partition("e")
    return text[: len(text) - len(digits)], head, e + exponent


def _sign(text: str) -> _Sign:
    text = text.strip().replace("\u2212", "-")
    if not _NUMBER.fullmatch(text):
        return ""
    digits = _parts(_SPACES.sub("", text))[1]
    point, comma = digits.count("."), digits.count(",")
    if not point and not comma:
        if not digits.strip("0"):
            return ""
        return "long" if len(digits) > 3 and digits == text.lstrip("+-") else "whole"
    if _OPEN.fullmatch(digits):
        return "open_point" if point else "open_comma"
    fits_point = bool(_PLAIN["."].fullmatch(digits) or _GROUPED["."].fullmatch(digits))
    fits_comma = bool(_PLAIN[","].fullmatch(digits) or _GROUPED[","].fullmatch(digits))
    if fits_point == fits_comma:
        return ""
    return "point" if fits_point else "comma"
