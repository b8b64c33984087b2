"""What a storm means for one home: the energy that its battery lacks, and what that costs."""

from decimal import Decimal, InvalidOperation

from schemas.dispatch import StormCost

CENT = Decimal("0.01")


def lacking_wh(reserve: float, soc: float | None, usable_wh: float) -> float | None:
    """Energy to charge until the battery has a storm's reserve; None = its charge is not known.

    ``reserve`` and ``soc`` are fractions of ``usable_wh``.
    """
    return None if soc is None else max(reserve - soc, 0.0) * usable_wh


def share_of_cost(charge_wh: float | None, region: StormCost | None) -> Decimal | None:
    """Money for a home's part of what its region has to charge; None = energy or price unknown.

    A region states its money at one price, so a home's part of it is its part of the energy.
    """
    if charge_wh is None or region is None or region.charge_wh <= 0:
        return None
    try:
        money = Decimal(region.money)
    except InvalidOperation:
        return None
    if not money.is_finite():
        return None
    part = Decimal(str(charge_wh)) / Decimal(str(region.charge_wh))
    return (money * part).quantize(CENT)
