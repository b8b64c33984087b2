"""The words that units of price are written in: money, energy, power, and how they are joined."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

WordKind = Literal[
    "whole", "sub", "energy", "power", "per", "hour", "neutral", "number", "unknown", "group"
]
"""``whole`` is a currency, ``sub`` a part of one (cents); ``group`` stands for a bracket."""

_DOLLARS = frozenset({"USD", "AUD", "CAD", "NZD", "SGD", "HKD"})
_CROWNS = frozenset({"SEK", "NOK", "DKK", "ISK"})
CURRENCIES = _DOLLARS | _CROWNS | {
    "EUR", "GBP", "CHF", "PLN", "CZK", "HUF", "RON", "BGN", "JPY", "CNY", "INR", "ZAR", "BRL",
    "TRY", "MXN", "KRW", "UAH", "RSD", "MKD", "BAM", "GEL", "ILS", "CLP", "COP", "ARS", "PHP",
    "MYR", "IDR", "THB",
}  # fmt: skip
"""Currencies that a header may name, as ISO 4217 has them."""
_NAMES = {
    "EUR": "€ euro euros",
    "GBP": "£ pound pounds sterling quid",
    "PLN": "zł zloty złoty",
    "CZK": "kč koruna",
    "HUF": "ft forint",
    "RON": "leu lei",
    "BGN": "lev leva",
    "INR": "₹ rupee rupees",
    "TRY": "₺ lira",
    "BRL": "r$",
    "USD": "us$",
    "AUD": "a$ au$",
    "CAD": "c$ ca$",
    "NZD": "nz$",
    "SGD": "s$",
    "HKD": "hk$",
    "SEK": "kronor",
}
_SHARED_NAMES = {
    **dict.fromkeys(("$", "dollar", "dollars"), _DOLLARS),
    "kr": _CROWNS,
    "krona": frozenset({"SEK", "ISK"}),
    **dict.fromkeys(("krone", "kroner"), frozenset({"NOK", "DKK"})),
    "¥": frozenset({"JPY", "CNY"}),
}
_CENTS = _DOLLARS | {"EUR", "ZAR"}
_SUBS: dict[str, tuple[int, frozenset[str]]] = {
    **dict.fromkeys(("p", "pence", "penny", "gbx"), (100, frozenset({"GBP"}))),
    **dict.fromkeys(("c", "ct", "cts", "cent", "cents", "¢"), (100, _CENTS)),
    **dict.fromkeys(("eurocent", "eurocents", "snt"), (100, frozenset({"EUR"}))),
    "öre": (100, frozenset({"SEK"})),
    "øre": (100, frozenset({"NOK", "DKK"})),
    **dict.fromkeys(("ore", "oere"), (100, _CROWNS - {"ISK"})),
    **dict.fromkeys(("mill", "mills"), (1000, _DOLLARS)),
    **dict.fromkeys(("centime", "centimes"), (100, frozenset({"EUR", "CHF"}))),
    **dict.fromkeys(("rappen",), (100, frozenset({"CHF"}))),
    **dict.fromkeys(("grosz", "groszy", "gr"), (100, frozenset({"PLN"}))),
    **dict.fromkeys(("haler", "haléř", "haléřů", "haleru"), (100, frozenset({"CZK"}))),
    **dict.fromkeys(("ban", "bani"), (100, frozenset({"RON"}))),
    **dict.fromkeys(("stotinka", "stotinki"), (100, frozenset({"BGN"}))),
    **dict.fromkeys(("paisa", "paise"), (100, frozenset({"INR"}))),
    **dict.fromkeys(("kuruş", "kurus"), (100, frozenset({"TRY"}))),
}
_COUNTRIES = {"US": "USD", "AU": "AUD", "CA": "CAD", "NZ": "NZD", "GB": "GBP", "UK": "GBP"}
_SIZES = {"": 1e6, "k": 1e3, "m": 1.0, "g": 1e-3}
"""Factor from a price per watt hour, kilowatt hour, ... to one per megawatt hour."""
_LONG = {"watt": "", "kilowatt": "k", "megawatt": "m", "gigawatt": "g"}
NEUTRAL = {
    "price", "prices", "preis", "preise", "pris", "priser", "prix", "precio", "prezzo", "prijs",
    "cena", "hinta", "cost", "costs", "tariff", "rate", "rrp", "lmp", "energy", "spot", "value",
    "in", "of", "unit", "units", "currency", "reg", "regulation", "regup", "regdown", "regdn",
    "up", "down", "dn", "reserve", "reserves", "spin", "spinning", "contingency",
}  # fmt: skip
_PIECE = re.compile(
    r"(?:US|AU|CA|NZ|HK|A|C|S|R)\$|[$€£¢¥₹₺]|[^\W\d_]+|\d+|[/()\[\]{}]|[^\w\s.,:;|'\"\u2013\u2014\u00b7\u207b-]",
    re.I,
)
_PER = {"per", "pr", "pro", "je", "por"}
_HOURS = {"h", "hr", "hrs", "hour", "hours"}
_ENERGY = re.compile(r"([KkMGg]?)W[Hh]|([kKgG]?)wh|(m|M)wh|(M)wH|(k)wH")
_POWER = re.compile(r"([kKMgG]?)W|(m)w|([kg])w")
_CENT_OF = re.compile(r"([A-Z]{2,3})(?:c|ct|cts|[Cc]ents?)|(?:ct|c)([A-Z]{3})")
_HIDDEN_UNIT = re.compile(r"[kmg]wh|^.{1,2}(?:eur|usd|gbp|aud|chf|sek|nok|dkk)$")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a header, and what it means in a unit."""

    kind: WordKind
    text: str
    size: float = 1.0
    """Of energy and power: factor to a price per MWh (MW); of money: how many make a whole one."""
    currencies: frozenset[str] = frozenset()
    """Currencies that money can be of."""
    hides_unit: bool = False
    """Whether an unknown word looks like a unit in one piece, such as ``ctkwh``."""


def words_of(text: str) -> list[Word]:
    """The words of a text; brackets are of kind ``group``."""
    found: list[Word] = []
    for piece in _PIECE.findall(unicodedata.normalize("NFC", text)):
        word = _word(piece)
        before = found[-1] if found else None
        if before is not None and before.kind == "power" and word.kind == "hour":
            found[-1] = Word("energy", f"{before.text}{word.text}", before.size)
            continue
        if before is not None and word.kind == "sub" and before.text in _COUNTRIES:
            whole = frozenset({_COUNTRIES[before.text]})
            found[-1] = Word("whole", before.text, currencies=whole)
        found.append(word)
    return found


def _word(piece: str) -> Word:
    low = piece.lower()
    if piece in "()[]{}":
        return Word("group", piece)
    if piece == "/" or low in _PER:
        return Word("per", piece)
    if piece.isdecimal():
        return Word("number", piece)
    if low in _HOURS:
        return Word("hour", piece)
    return _measure(piece) or _money(piece) or _other(piece, low)


def _other(piece: str, low: str) -> Word:
    if low in NEUTRAL:
        return Word("neutral", piece)
    return Word("unknown", piece, hides_unit=_HIDDEN_UNIT.search(low) is not None)


def _measure(piece: str) -> Word | None:
    """Energy or power; ``mWh`` and ``mW`` are thousandths, and not taken for millions."""
    if match := _ENERGY.fullmatch(piece):
        return Word("energy", piece, _SIZES["".join(match.groups("")).lower()])
    if match := _POWER.fullmatch(piece):
        return Word("power", piece, _SIZES["".join(match.groups("")).lower()])
    low = piece.lower().removesuffix("s")
    long = low.removesuffix("hour").removesuffix("hr")
    if long not in _LONG:
        return None
    return Word("power" if long == low else "energy", piece, _SIZES[_LONG[long]])


def _money(piece: str) -> Word | None:
    low = piece.lower()
    if piece == "GBp" or (low in _SUBS and piece not in ("P", "C")):
        size, currencies = _SUBS["p" if piece == "GBp" else low]
        return Word("sub", piece, size, currencies)
    if match := _CENT_OF.fullmatch(piece):
        code = match[1] or match[2]
        code = {**_COUNTRIES, "EU": "EUR"}.get(code, code)
        return Word("sub", piece, 100, frozenset({code})) if code in _CENTS else None
    if piece.upper() in CURRENCIES and piece in (low, piece.upper()):
        # A code in another case can say something else: GBp is pence.
        return Word("whole", piece, currencies=frozenset({piece.upper()}))
    if low in _SHARED_NAMES:
        return Word("whole", piece, currencies=_SHARED_NAMES[low])
    for code, names in _NAMES.items():
        if low in names.split():
            return Word("whole", piece, currencies=frozenset({code}))
    return None
