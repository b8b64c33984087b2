"""The unit of a price, read from a header, a row or column of units, or an option.

A unit is understood as a whole or not at all: one word in it that is not known, a number, or a
second currency, and the answer is a sentence about what is not certain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from vpp_streams.domain.files.price_files.unit_words import Word, WordKind, words_of

_MONEY = ("whole", "sub")
_MEASURES = ("energy", "power")
_BEFORE_MEASURE = (None, "per", "whole", "sub", "neutral", "group")
_AFTER_MONEY = (None, "per", "energy", "power", "whole", "sub", "neutral", "group")
_MAGNITUDES = {
    "k", "m", "mio", "mln", "million", "millions", "thousand", "thousands", "tausend", "tsd",
    "milli", "kilo", "hundred", "x", "*", "×", "%", "‰",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of price that is understood."""

    text: str
    """The words that say it."""
    factor: float
    """Factor from such a price to one of the whole currency per MWh (of capacity: per MW)."""
    measure: Literal["energy", "power", ""]
    """What the price is per; empty where that is not said."""
    currencies: frozenset[str]
    """The currencies that it can be in; empty where none is named."""
    is_sub: bool
    """Whether it counts a part of the currency, such as cents."""


def read_unit(text: str) -> Unit | str | None:
    """The unit that a header names: None where it names none, a sentence where it is not clear."""
    outer, groups = _split(words_of(text))
    outer, groups = _letters(outer, False), [_letters(group, True) for group in groups]
    units, strange = list[Word](), list[Word]()
    for group in groups:
        odd = next((word for word in group if word.kind in ("unknown", "number")), None)
        if not any(_is_evidence(word) for word in group):
            strange += [word for word in (odd,) if word is not None]
            continue
        odd = odd or _odd(group)
        if odd is not None:
            return f"{odd.text[:20]!r} in it is not known here"
        units += group
    said = any(word.kind in _MEASURES for word in units)
    odd = next((word for word in outer if word.hides_unit or (said and _is_times(word))), None)
    odd = odd or (None if said else _odd(outer))
    if odd is not None:
        return f"{odd.text[:20]!r} in it is not known here"
    units += outer
    if strange and not any(word.kind in _MEASURES for word in units):
        return f"{strange[0].text[:20]!r} in it is not known here"
    return _combined([word for word in units if word.kind in (*_MONEY, *_MEASURES)])


def _split(words: Sequence[Word]) -> tuple[list[Word], list[list[Word]]]:
    """The words outside of brackets, with a word for each bracket, and those in each bracket."""
    outer, groups = list[Word](), list[list[Word]]()
    depth = 0
    for word in words:
        if word.kind != "group":
            (groups[-1] if depth else outer).append(word)
        elif word.text in "([{":
            if not depth:
                groups.append([])
                outer.append(word)
            depth += 1
        else:
            depth = max(0, depth - 1)
    return outer, groups


def _letters(words: Sequence[Word], in_brackets: bool) -> list[Word]:
    """The words, with c and p as cents and pence only where they stand in a unit."""
    kinds: list[WordKind | None] = [None, *(word.kind for word in words), None]
    found = []
    for at, word in enumerate(words):
        before, after = kinds[at], kinds[at + 2]
        beside = after in ("per", "whole", *_MEASURES) or before == "whole"
        ends = after in (None, "group") and before == "neutral"
        is_letter = word.kind == "sub" and len(word.text) == 1 and word.text.isalpha()
        if is_letter and not (in_brackets or beside or ends):
            word = Word("unknown", word.text)  # noqa: PLW2901  # the letter of a zone, for example
        found.append(word)
    return found


def _is_times(word: Word) -> bool:
    return word.text.lower() in _MAGNITUDES


def _is_evidence(word: Word) -> bool:
    return word.kind in (*_MONEY, *_MEASURES, "per") or word.hides_unit


def _odd(words: Sequence[Word]) -> Word | None:
    """The first word that stands in a unit and is not understood there."""
    for before, word in pairwise([None, *words]):
        assert word is not None
        kind = before.kind if before else None
        if word.kind in _MEASURES and kind not in _BEFORE_MEASURE:
            return before
        if word.kind == "per" and kind not in (None, *_MONEY, "power", "neutral", "group"):
            return before
        if before is None:
            continue
        if before.kind == "per" and word.kind not in (*_MEASURES, "hour", "group"):
            return word
        if before.kind in _MEASURES and word.kind == "number":
            return word
        if before.kind in _MONEY and word.kind not in _AFTER_MONEY:
            return word
        if word.kind in _MONEY and (before.kind == "number" or _is_times(before)):
            return before
    return words[-1] if words and words[-1].kind == "per" else _odd_hour(words)


def _odd_hour(words: Sequence[Word]) -> Word | None:
    """A word that breaks the one way to divide twice: power per hour, as in EUR/MW/h."""
    for at in range(1, len(words)):
        power = at > 1 and words[at - 2].kind == "power"
        per = words[at - 1].kind == "per"
        if per and (words[at].kind == "hour") != power:
            return words[at]
    return None


def _combined(units: Sequence[Word]) -> Unit | str | None:
    """One unit of all words that belong to it."""
    if not units:
        return None
    text = " ".join(word.text for word in units)
    measures = {(word.kind, word.size) for word in units if word.kind in _MEASURES}
    subs = {word.size for word in units if word.kind == "sub"}
    if len(measures) > 1 or len(subs) > 1:
        return f"{text[:40]!r} names several units"
    money = [word for word in units if word.kind in _MONEY]
    currencies = frozenset.intersection(*(word.currencies for word in money)) if money else None
    if currencies is not None and not currencies:
        return f"{text[:40]!r} names several currencies"
    kind, size = next(iter(measures), ("", 1.0))
    if subs and not measures:
        return f"it says {text[:20]!r}, but not per which energy"
    measure: Literal["energy", "power", ""] = (
        "energy" if kind == "energy" else "power" if kind == "power" else ""
    )
    per_whole = next(iter(subs), 1.0)
    return Unit(text, size / per_whole, measure, currencies or frozenset(), bool(subs))


def of_currency(unit: Unit, currency: str | None) -> Unit | str:
    """The unit in one currency at most: the requested one, or that of its words.

    A sentence where they contradict each other, or where it is open whose cents are meant.
    """
    if currency is not None:
        if unit.currencies and currency not in unit.currencies:
            named = " or ".join(sorted(unit.currencies))
            return f"it says {unit.text[:40]!r} ({named}), and the currency given is {currency}"
        return replace(unit, currencies=frozenset({currency}))
    if len(unit.currencies) < 2:
        return unit
    if not unit.is_sub and "USD" in unit.currencies:
        return replace(unit, currencies=frozenset({"USD"}))
    named = ", ".join(sorted(unit.currencies))
    return f"{unit.text[:40]!r} can be of {named}: give --currency"
