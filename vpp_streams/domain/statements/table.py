"""A statement as a table for CSV: its lines, then its sums, with exact micros."""

from vpp_streams.domain.statements.arithmetic import Money
from vpp_streams.domain.statements.document import StatementDocument, StatementRow

COLUMNS = (
    *("site_id", "month", "state", "row", "program_id", "program_version", "program_name"),
    *("intervals", "delivered_kwh", "price_per_kwh", "share", "amount", "currency", "micros"),
    *("formula", "note"),
)
"""``row`` is a kind of payment, or one of ``total``, ``corrected`` (in the total already),
``storms`` (not in it), ``owed_before``, ``paid_out``, ``payable``, ``carried``, ``missing_min``."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def table_of(document: StatementDocument) -> list[list[str]]:
    """Rows of text, the names of the columns first."""
    rows = [_line(row) for row in document.rows]
    storms = document.storms
    named: list[tuple[str, Money, str]] = [
        ("total", document.total, ""),
        ("corrected", document.corrected, "in the total already"),
        *([("storms", storms.cost, f"not in the total; {storms.formula.text}")] if storms else []),
        ("owed_before", document.owed_before, ""),
        *(("paid_out", one.amount, one.payout_id) for one in document.paid_out),
        ("payable", document.payable, ""),
        ("carried", document.carried, ""),
    ]
    rows += [{"row": name, **_money(sum_), "note": note} for name, sum_, note in named]
    missing = f"{document.measured.missing_min:g} minutes were not measured, and not paid"
    rows.append({"row": "missing_min", "amount": "", "note": missing})
    same = {"site_id": document.site_id, "month": document.month, "state": document.state}
    return [list(COLUMNS), *([(same | row).get(name, "") for name in COLUMNS] for row in rows)]


def _line(row: StatementRow) -> dict[str, str]:
    return {
        "row": row.kind,
        "program_id": _harmless(row.program_id),
        "program_version": str(row.program_version),
        "program_name": _harmless(row.program_name),
        "intervals": str(row.intervals),
        "delivered_kwh": f"{row.delivered_wh / 1000:.6f}",
        "price_per_kwh": "" if row.price_per_kwh is None else f"{row.price_per_kwh:.8f}",
        "share": "" if row.share is None else f"{row.share:g}",
        **_money(row.amount),
        "formula": row.formula.text,
        "note": row.formula.note,
    }


def _money(money: Money) -> dict[str, str]:
    return {"amount": money.amount, "currency": money.currency, "micros": str(money.micros)}


def _harmless(text: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
