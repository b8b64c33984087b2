"""Power of a request that is missing, by cause. W; up = of a discharge, down = of a charge."""

from collections.abc import Collection, Iterable, Mapping

from schemas.dispatch import Cause, Missing, Supply, SupplyPartial
from vpp_streams.domain.control.ruling import CalledPower, Ruling

NOTICE_SHARE, NOTICE_W = 0.005, 50.0
"""Missing power is reported where it exceeds both this share of the request and this many watts."""


def near_w(power_w: float) -> float:
    """The most that may be missing of a power without being reported, W."""
    return max(NOTICE_SHARE * abs(power_w), NOTICE_W)


def one_cause(cause: Cause, missing_w: float) -> Missing:
    """Power that is missing for causes beyond single devices."""
    return Missing(cause=cause, devices=0, up_w=max(missing_w, 0.0), down_w=max(-missing_w, 0.0))


def limited(called: CalledPower) -> Iterable[Missing]:
    """Power that limits take off a request."""
    if called.wanted_w is not None:
        yield one_cause("limit", called.wanted_w - called.export_w)


def limited_by(ruling: Ruling, causes: Iterable[Missing]) -> tuple[str, ...]:
    """Ids of the limits of the kinds (region, feeder) that cost power."""
    found = {cause.cause for cause in causes}
    return tuple(
        limit.request_id
        for limit in ruling.limits
        if ("limit" if limit.feeder is None else "feeder") in found
    )


def held_by_feeders(
    called: CalledPower,
    beside_w: Mapping[str, float],
    supplies: Mapping[tuple[int, str], Supply],
    shares_w: Mapping[tuple[int, str], float],
) -> Iterable[Missing]:
    """Power that devices behind feeders at their limits could give in addition."""
    up_w = down_w = 0.0
    for feeder, (least_w, most_w) in called.feeder_limits_w.items():
        mine = [key for key in supplies if key[1] == feeder]
        given_w = sum(shares_w[key] for key in mine)
        feeder_w = given_w + beside_w.get(feeder, 0.0)
        if feeder_w >= most_w - 1.0:
            up_w += sum(supplies[key].power_w[-1] for key in mine) - given_w
        if feeder_w <= least_w + 1.0:
            down_w += given_w - sum(supplies[key].power_w[0] for key in mine)
    if (up_w if called.export_w > 0 else down_w) > 1.0:
        yield Missing(cause="feeder", devices=0, up_w=max(up_w, 0.0), down_w=max(down_w, 0.0))


def with_the_rest(causes: tuple[Missing, ...], missing_w: float) -> tuple[Missing, ...]:
    """The causes, with what none of them explains: devices that give all they are rated for."""
    if any(cause.cause == "not_heard" for cause in causes):
        return causes  # which is of an unknown amount
    up = missing_w > 0
    explained_w = sum(c.up_w if up else c.down_w for c in causes)
    rest_w = abs(missing_w) - explained_w
    if rest_w <= near_w(missing_w):
        return causes
    return (*causes, one_cause("rating", rest_w if up else -rest_w))


def reported_causes(
    live: Mapping[int, SupplyPartial], expected: Collection[int], export_w: float
) -> tuple[Missing, ...]:
    """Why power in the requested direction is missing, by cause, the largest first.

    ``live`` are the newest supplies by partition, ``expected`` the partitions that have sites of
    the region.
    """

    def matters(part: Missing) -> float:
        return part.up_w if export_w > 0 else part.down_w

    found: dict[Cause, Missing] = {}
    for supply in live.values():
        for part in supply.missing:
            if matters(part) <= 1.0 and part.cause != "not_heard":
                continue
            known = found.get(part.cause, Missing(cause=part.cause, devices=0, up_w=0, down_w=0))
            found[part.cause] = Missing(
                cause=part.cause,
                devices=part.devices + known.devices,
                up_w=part.up_w + known.up_w,
                down_w=part.down_w + known.down_w,
            )

    if set(expected) - live.keys():
        # Which devices these are is not known here, only that their partitions are silent.
        silent = Missing(cause="not_heard", devices=0, up_w=0.0, down_w=0.0)
        found.setdefault("not_heard", silent)
    return tuple(sorted(found.values(), key=lambda p: (-matters(p), p.cause)))
