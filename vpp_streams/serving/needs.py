"""What a request needs: an action and the place that it concerns, declared where its handler is.

Both doors use it, HTTP and gRPC, and refuse a request that declares nothing, so nobody can forget
it. A place that a principal may not see and a place that does not exist get the same answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus

from vpp_streams.domain.access.rights import Action, Principal
from vpp_streams.serving.absent import no_bid, no_device, no_market, no_region, no_site
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel


class Of(Enum):
    """What the action of a path concerns."""

    NOBODY = auto()
    """Nothing that needs a right: pages without data, and signing in."""
    ONESELF = auto()
    """The sender itself."""
    BROWSER = auto()
    """The sender's own account, from a session: a token does not change accounts."""
    SOME = auto()
    """Several places: the answer contains only those that the sender may see."""
    REGION = auto()
    """The region in the path; or, with ``market``, that region in a market."""
    SITE = auto()
    """The site in the path."""
    DEVICE = auto()
    """The site of the device in the path."""
    BID = auto()
    """The region of the bid in the path."""
    PLANT = auto()
    """Every home at once."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a request needs: one of ``actions`` at the place that its path names."""

    of: Of
    actions: tuple[Action, ...] = ()
    refuses: bool = False
    """A missing right is an answer of its own (403), as for orders; else the place is absent."""

    def check(self, who: Principal, model: ReadModel, path: dict[str, str]) -> None:
        """Raises `ApiError`: 403 where a right is missing, 404 where the place is not theirs."""
        if self.of in (Of.NOBODY, Of.ONESELF):
            return
        if self.of is Of.BROWSER:
            if who.kind != "session":
                raise ApiError(
                    HTTPStatus.FORBIDDEN,
                    "an account is changed by its owner, who is signed in",
                    "a token does not do; `vpp accounts` works on the machine of the accounts",
                )
            return
        allowed = [action for action in self.actions if who.may(action)]
        if not allowed or (self.of is Of.PLANT and not any(who.may_everywhere(a) for a in allowed)):
            raise denied(who.denial(self.actions[0], ()) or f"{who.name} may not do this", who)
        if (absent := _ABSENT.get(self.of)) is not None:
            absent(self, allowed, who, model, path)


def denied(error: str, who: Principal) -> ApiError:
    """The answer to a request for which a right is missing."""
    return ApiError(HTTPStatus.FORBIDDEN, error, who.in_words)


def _region(
    need: Need, allowed: list[Action], who: Principal, model: ReadModel, path: dict[str, str]
) -> None:
    region = path["region"]
    if any(who.may_in(action, region) for action in allowed):
        return
    if need.refuses:
        raise denied(who.denial(allowed[0], (region,)) or "", who)
    if "market" in path:
        raise no_market(model, who, path["market"], region)
    raise no_region(model, who, region)


def _site(
    _: Need, allowed: list[Action], who: Principal, model: ReadModel, path: dict[str, str]
) -> None:
    site = model.sites.registry.site(path["site_id"])
    if site is None or not any(who.may_at(a, site.site_id, site.region) for a in allowed):
        raise no_site(path["site_id"])


def _device(
    _: Need, allowed: list[Action], who: Principal, model: ReadModel, path: dict[str, str]
) -> None:
    known = model.sites.registry.device(path["device_id"])
    if known is None or not any(who.may_at(a, known[1].site_id, known[1].region) for a in allowed):
        raise no_device(path["device_id"])


def _bid(
    _: Need, allowed: list[Action], who: Principal, model: ReadModel, path: dict[str, str]
) -> None:
    region = model.markets.region_of_bid(path["bid_id"])
    if region is None or not any(who.may_in(action, region) for action in allowed):
        raise no_bid(model, who, path["bid_id"])


_ABSENT: dict[Of, Callable[[Need, list[Action], Principal, ReadModel, dict[str, str]], None]] = {
    Of.REGION: _region,
    Of.SITE: _site,
    Of.DEVICE: _device,
    Of.BID: _bid,
}
PUBLIC = Need(Of.NOBODY)
ONESELF = Need(Of.ONESELF)
BROWSER = Need(Of.BROWSER)


def some(*actions: Action) -> Need:
    """Of a path whose answer contains only what its sender may see."""
    return Need(Of.SOME, actions)


def at(of: Of, *actions: Action) -> Need:
    """Of a path that names one place."""
    return Need(of, actions)


def orders(*actions: Action) -> Need:
    """Of a path that takes an order for the region in it: a missing right is named."""
    return Need(Of.REGION, actions, refuses=True)
