"""Sums over entries, by account: what every balance, check and digest is made of."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from vpp_streams.settlement.tables import ENTRIES, ENTRY_GROUPS

_G, _E = ENTRY_GROUPS.c, ENTRIES.c


def movements(
    *where: sa.ColumnElement[bool],
    columns: Iterable[sa.Column[Any]] = (),
    account: int | None = None,
) -> sa.Subquery:
    """Sums by account of the groups that ``where`` selects, or those of one ``account``.

    Its columns: account_id, currency, ``columns`` of the groups, sign (+1 = credited), micros, and
    entries (their number). Accounts that are no site's are summed from the groups, which are few.
    """
    by = (_G.currency, *columns)
    parts = []
    for side, sign in ((_G.credit_id, 1), (_G.debit_id, -1)):
        for of_site in (True, False):
            id_ = _E.site_account if of_site else side
            micros, entries = (
                (_E.amount_micros, sa.func.count())
                if of_site
                else (_G.amount_micros, sa.func.sum(_G.entries))
            )
            part = sa.select(
                id_.label("account_id"),
                *by,
                sa.literal(sign).label("sign"),
                sa.func.sum(micros).label("micros"),
                entries.label("entries"),
            ).where(side.is_(None) if of_site else side.is_not(None), *where)
            if of_site:
                part = part.select_from(ENTRIES.join(ENTRY_GROUPS, _E.group_id == _G.group_id))
            if account is not None:
                part = part.where(id_ == account)
            parts.append(part.group_by(id_, *by))
    return sa.union_all(*parts).subquery("movements")


def net(moves: sa.Subquery) -> sa.Label[int]:
    """Credits less debits of `movements`, in micros."""
    return sa.cast(sa.func.sum(moves.c.sign * moves.c.micros), sa.BigInteger).label("micros")
