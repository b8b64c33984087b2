"""Money as integers of micros, 10^-6 of a currency's unit, and the few ways in which it is rounded.

An amount is rounded once, where a price meets a quantity: to the nearest micro, halves to the even
one. What is divided is never rounded (`vpp_streams.domain.settle.split`), and a payout is cut to
the currency's minor unit with the rest carried forward, so that no micro is lost or made.
"""

from fractions import Fraction

import numpy as np

from schemas.settlement import MICROS
from vpp_streams.domain.arrays import Floats, Ints

MILLIONTHS = 1_000_000
"""A share of revenue is counted in millionths."""
MILLI_WH_PER_KWH = 1_000_000


def micros_of(money: float) -> int:
    """Money in the currency's unit, for example `schemas.market.Delivery.money`, in micros.

    The number is taken exactly as it is stored; halves become the even micro.
    """
    return round(Fraction(money) * MICROS)


def milli_wh(energy_wh: Floats) -> Ints:
    """Energies as integers of 10^-3 Wh, in which they are compared, divided and paid; NaN = 0."""
    return np.rint(np.nan_to_num(energy_wh) * 1000).astype(np.int64)


def shares_of(amounts: Ints, millionths: Ints) -> Ints:
    """That many millionths of each amount, towards 0: the fraction of a micro stays with the rest.

    Exact for every amount up to `schemas.settlement.MAX_MICROS`, of either sign.
    """
    units, rest = np.divmod(np.abs(amounts), MILLIONTHS)
    parts: Ints = np.sign(amounts) * (units * millionths + rest * millionths // MILLIONTHS)
    return parts


def paid_for(energy_milli_wh: Ints, per_kwh_micros: Ints | int) -> Ints:
    """Energies >= 0 (10^-3 Wh) at a price, in micros; halves become the even micro."""
    prices = np.asarray(per_kwh_micros, np.int64)
    kwh, rest = np.divmod(energy_milli_wh, MILLI_WH_PER_KWH)
    low, part = np.divmod(rest * prices, MILLI_WH_PER_KWH)
    below = kwh * prices + low
    half = MILLI_WH_PER_KWH // 2
    paid: Ints = below + ((part > half) | ((part == half) & (below % 2 == 1)))
    return paid


def minor_units(balance_micros: int, digits: int) -> tuple[int, int]:
    """What of a balance can be paid out: minor units (cents), and the micros that are carried.

    ``digits`` are the currency's decimals (ISO 4217: 2 for EUR, 0 for JPY). Rounded towards 0, so
    nobody is paid more than they are owed: units x 10^(6 - digits) + carried = the balance.
    """
    size = 10 ** (6 - digits)
    units = abs(balance_micros) // size * (1 if balance_micros >= 0 else -1)
    return units, balance_micros - units * size
