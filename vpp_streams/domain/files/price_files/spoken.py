"""What people write about a price file: the length of its intervals, and its columns."""

from collections.abc import Sequence

from schemas.market import PRODUCTS, Product
from vpp_streams.domain.files.spoken_time import duration_s
from vpp_streams.errors import InputError


def interval_ms_of(text: str | None) -> int | None:
    """Milliseconds of ``5m``; None stays None. Raises `InputError`."""
    if text is None:
        return None
    try:
        return max(1, round(duration_s(text) * 1000))
    except ValueError as error:
        raise InputError(f"--interval: {error}") from None


def columns_of(pairs: Sequence[str]) -> dict[Product, str]:
    """The columns of ``PRODUCT=COLUMN`` pairs, by product. Raises `InputError`."""
    by_name = {product: product for product in PRODUCTS}
    columns: dict[Product, str] = {}
    for pair in pairs:
        product, equals, name = pair.partition("=")
        if product not in by_name or not equals or not name:
            raise InputError(
                f"--column {pair!r}: write PRODUCT=COLUMN with one of {', '.join(PRODUCTS)}"
            )
        columns[by_name[product]] = name
    return columns
