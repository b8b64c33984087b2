"""The table of rights: what each role allows, and where; and sentences for what is not allowed.

A right is always a role in a scope: all of the plant, one region or one site. Reading is a right
like any other. Nothing is allowed that the table does not contain.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

Role = Literal["viewer", "operator", "trader", "installer", "owner"]
ROLES: tuple[Role, ...] = get_args(Role)
Order = Literal["dispatch", "emergency", "limit", "hold", "storm"]
ORDERS: tuple[Order, ...] = get_args(Order)
Read = Literal[
    "read_site",
    "read_money",
    "read_region",
    "read_market",
    "read_pipeline",
    "read_rejected",
    "read_records",
]
READS: tuple[Read, ...] = get_args(Read)
Decision = Literal["acknowledge", "choose", "settle"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
Action = Read | Order | Decision
ACTIONS: tuple[Action, ...] = (*READS, *ORDERS, *DECISIONS)

MEANINGS: dict[Action, str] = {
    "read_site": "a home: its record, devices, readings, windows and commands",
    "read_money": "what a home earned, and why: its events, statements and entries",
    "read_region": "a region: its sums, windows, forecasts, dispatch and requests",
    "read_market": "prices, bids, awards, deliveries and money of a region",
    "read_pipeline": "processes, counts, lag and ages of the complete system",
    "read_rejected": "rejected readings of a site's devices, with the received bytes",
    "read_records": "refused records of our own topics, with their content",
    "dispatch": "request power from a region, and withdraw requests",
    "emergency": "requests that outrank the market's awards",
    "limit": "limit a region's or a feeder's connections",
    "hold": "the kill switch of a region",
    "storm": "announce a storm, and cancel it",
    "acknowledge": "attend to an incident",
    "choose": "decide for a home: its reserve, storm mode, pauses, events to skip",
    "settle": "close months of the ledger, propose and approve payouts",
}
TABLE: dict[Role, frozenset[Action]] = {
    "viewer": frozenset({"read_site", "read_region", "read_pipeline"}),
    "operator": frozenset(ACTIONS),
    "trader": frozenset({"read_region", "read_market", "read_pipeline"}),
    "installer": frozenset({"read_site", "read_rejected"}),
    "owner": frozenset({"read_site", "read_money", "choose"}),
}
WHOLE_PLANT: frozenset[Action] = frozenset({"read_records"})
"""Actions that concern every home at once: they need a role in the complete plant."""
_OF_REGIONS: frozenset[Action] = frozenset(ACTIONS) - {
    *("read_site", "read_money", "read_rejected", "choose")
}
"""Actions that concern complete regions: a role at one site does not include them."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")


class ScopeError(ValueError):
    """Words that name no scope, or a role in a scope that it cannot have; one sentence."""


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Where a role applies. ``kind`` decides what ``name`` names."""

    kind: Literal["all", "region", "site"]
    name: str = ""

    def __str__(self) -> str:
        return "*" if self.kind == "all" else f"{self.kind}:{self.name}"

    def covers_region(self, region: str) -> bool:
        """Whether a complete region is in the scope; no site contains one."""
        return self.kind == "all" or (self.kind == "region" and self.name == region)

    def covers_site(self, site_id: str, region: str) -> bool:
        """Whether a site that is in ``region`` is in the scope."""
        return self.covers_region(region) or (self.kind == "site" and self.name == site_id)


PLANT = Scope("all")


def scope_of(words: str) -> Scope:
    """The scope of ``*``, ``region:NAME`` or ``site:ID``. Raises `ScopeError`."""
    if words == "*":
        return PLANT
    kind, colon, name = words.partition(":")
    if colon and _ID.match(name):
        if kind == "region":
            return Scope("region", name)
        if kind == "site":
            return Scope("site", name)
    raise ScopeError(f"{words[:80]!r} is no scope: give *, region:NAME or site:ID")


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """A role in a scope."""

    role: Role
    scope: Scope

    def __str__(self) -> str:
        return f"{self.role} of {'every region' if self.scope.kind == 'all' else self.scope}"


def grant_of(role: str, scope: str) -> Grant:
    """A grant from words. Raises `ScopeError` if there is no such role, or it has no such scope."""
    found = next((known for known in ROLES if known == role), None)
    if found is None:
        raise ScopeError(f"there is no role {role[:40]!r}: roles are {', '.join(ROLES)}")
    where = scope_of(scope)
    if found == "owner" and where.kind != "site":
        raise ScopeError("an owner sees homes, not regions: give site:ID, once for each home")
    return Grant(found, where)


class Sight(NamedTuple):
    """Sites that are in one of these regions, or among these."""

    regions: frozenset[str]
    site_ids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who sends a request: a person, or a program with a token; its name and its rights."""

    name: str
    grants: tuple[Grant, ...]
    limited_to: frozenset[Action] | None = None
    """Actions of the token that was sent; None = every action of the grants."""
    kind: Literal["session", "token"] = "token"
    key: str = field(default="", compare=False)
    """Name of the session or token in the store; empty for a token of the operators' file."""

    def denial(self, action: Action, regions: Iterable[str]) -> str | None:
        """Why it may not do an action in these regions, in one sentence; None = it may.

        Without a region, the action is asked for anywhere.
        """
        where = tuple(regions)
        if not self.may(action):
            return f"{self.name} does not have the right {action!r}"
        for region in where:
            if not self.may_in(action, region):
                return f"{self.name} does not have the right {action!r} in region {region[:64]!r}"
        return None

    def may(self, action: Action) -> bool:
        """Whether it may do an action anywhere."""
        return any(True for _ in self._scopes(action))

    def may_everywhere(self, action: Action) -> bool:
        """Whether it may do an action in the complete plant."""
        return any(scope.kind == "all" for scope in self._scopes(action))

    def may_in(self, action: Action, region: str) -> bool:
        """Whether it may do an action that concerns a complete region."""
        return any(scope.covers_region(region) for scope in self._scopes(action))

    def may_at(self, action: Action, site_id: str, region: str) -> bool:
        """Whether it may do an action that concerns one site, which is in ``region``."""
        return any(scope.covers_site(site_id, region) for scope in self._scopes(action))

    def sight(self, action: Action) -> Sight | None:
        """Where it may do an action that concerns sites; None = everywhere."""
        scopes = list(self._scopes(action))
        if any(scope.kind == "all" for scope in scopes):
            return None
        return Sight(
            frozenset(scope.name for scope in scopes if scope.kind == "region"),
            frozenset(scope.name for scope in scopes if scope.kind == "site"),
        )

    @property
    def actions(self) -> tuple[Action, ...]:
        """Every action that it may do somewhere, in the order of the table."""
        return tuple(action for action in ACTIONS if self.may(action))

    @property
    def gives_orders(self) -> bool:
        """Whether it may give any order: places are reserved for such principals."""
        return any(self.may(order) for order in ORDERS)

    @property
    def in_words(self) -> str:
        """The orders that it may give and where, for the hint of a refusal."""
        orders = [action for action in self.actions if action in ORDERS]
        if not orders:
            return f"{self.name} may give no orders"
        scopes = {scope for action in orders for scope in self._scopes(action)}
        regions = ", ".join(sorted(scope.name for scope in scopes))
        where = "every region" if PLANT in scopes else regions
        return f"{self.name} may: {', '.join(orders)}, in {where}"

    def _scopes(self, action: Action) -> Iterable[Scope]:
        if self.limited_to is not None and action not in self.limited_to:
            return
        for grant in self.grants:
            if action not in TABLE[grant.role]:
                continue
            if action in WHOLE_PLANT and grant.scope.kind != "all":
                continue
            if action in _OF_REGIONS and grant.scope.kind == "site":
                continue
            yield grant.scope
