"""The states of a site's life: which may follow which, and how a record keeps their history.

What each state means is stated at `schemas.assets.SiteState` (ADR 23).
"""

from collections.abc import Mapping

from msgspec.structs import replace

from schemas.assets import MAX_HISTORY, Site, SiteState, StateChange

FOLLOWED_BY: Mapping[SiteState, tuple[SiteState, ...]] = {
    "planned": ("commissioning", "retired"),
    "commissioning": ("active", "planned", "retired"),
    "active": ("suspended", "commissioning", "retired"),
    "suspended": ("active", "commissioning", "retired"),
    "retired": ("planned", "commissioning", "active"),
}
"""A suspended or active site is never only planned, and nothing that is planned or retired can be
suspended. A retired one begins as a new site does."""


def why_not(before: SiteState, after: SiteState) -> str | None:
    """Why a site may not change to a state, with the states that it may; None = it may."""
    allowed = FOLLOWED_BY[before]
    if after == before or after in allowed:
        return None
    return f"a site that is {before} cannot become {after}, only {' or '.join(allowed)}"


def in_state(site: Site, state: SiteState, since_ms: int, reason: str = "") -> Site:
    """The site in a state from a time on; one that is in it already stays as it is."""
    if site.state == state:
        return site
    since_ms = max(since_ms, site.history[-1].since_ms if site.history else 0)
    history = (*site.history, StateChange(state, since_ms, reason))
    return replace(site, removed=False, history=history[-MAX_HISTORY:])


def continued(
    site: Site, before: Site | None, state: SiteState | None, *, since_ms: int, reason: str = ""
) -> Site:
    """A site's new contents as a record with the history of the one before it, in a state.

    Without a state, it stays as it is; a site that is new or was retired is then active.
    """
    if before is not None:
        site = replace(site, removed=before.removed, history=before.history)
    if state is None:
        state = "active" if site.state == "retired" else site.state
    return in_state(site, state, since_ms, reason)
