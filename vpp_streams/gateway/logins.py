"""How often who may try to connect: tokens that are guessed, and devices that come too often.

Sans-I/O; times are a monotonic clock's. A guess is slowed by where it comes from, so that nobody
can keep a device out by guessing its token from elsewhere: each (address, device) has a few tries,
each address a few dozen for all devices together. A device that was let in from an address before
is not slowed by its neighbours there, as a fleet may share the address of a router or a balancer.
What is kept of addresses and guesses is bounded: the least recent is forgotten.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

from vpp_streams.gateway.bucket import TokenBucket

GUESSES_PER_MIN, GUESSES_BURST = 6.0, 5.0
"""Of one device's token from one address."""
ADDRESS_GUESSES_PER_MIN, ADDRESS_GUESSES_BURST = 300.0, 60.0
"""From one address, for whatever devices: a site behind it may hold some that are not set up."""
CONNECTS_PER_S, CONNECTS_BURST = 1.0, 5.0
"""Upgrades of one device, and so Hellos: each takes over from the connection before."""
LOGGED_PER_S, LOGGED_BURST = 5.0, 50.0
LOGGED_PER_ADDRESS_PER_MIN, LOGGED_PER_ADDRESS_BURST = 6.0, 5.0
REMEMBERED = 10_000
"""Addresses, and (address, device) pairs, of failed logins."""
_IPV6_SITE_BITS = 64

K = TypeVar("K")


class _Buckets(Generic[K]):
    """Buckets by key, the least recently used forgotten."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._buckets: OrderedDict[K, TokenBucket] = OrderedDict()

    def empty(self, key: K, now_ms: int) -> bool:
        bucket = self._buckets.get(key)
        return bucket is not None and bucket.refill(now_ms) < 1

    def take(self, key: K, now_ms: int) -> bool:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._per_s, self._burst, now_ms)
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(1, now_ms)


class FailedLogins:
    """Who has guessed wrong, and how often."""

    def __init__(self) -> None:
        self._by_device: _Buckets[tuple[str, str]] = _Buckets(GUESSES_PER_MIN / 60, GUESSES_BURST)
        self._by_address: _Buckets[str] = _Buckets(
            ADDRESS_GUESSES_PER_MIN / 60, ADDRESS_GUESSES_BURST
        )
        self._good: dict[str, str] = {}
        """Device -> the address that it was last let in from: one for each registered device."""

    def slowed(self, address: str, device_id: str, now_ms: int) -> bool:
        """Whether an attempt is to be refused without a look at its token."""
        place = _place(address)
        if self._by_device.empty((place, device_id), now_ms):
            return True
        return self._good.get(device_id) != place and self._by_address.empty(place, now_ms)

    def failed(self, address: str, device_id: str, now_ms: int) -> None:
        """A token or certificate was wrong."""
        place = _place(address)
        self._by_device.take((place, device_id), now_ms)
        self._by_address.take(place, now_ms)

    def succeeded(self, address: str, device_id: str) -> None:
        """A registered device was let in."""
        self._good[device_id] = _place(address)

    def forget(self, device_id: str) -> None:
        """The device has left the registry."""
        self._good.pop(device_id, None)


class Connects:
    """How often each device connects. Only those that showed their token are counted."""

    def __init__(self) -> None:
        self._buckets: _Buckets[str] = _Buckets(CONNECTS_PER_S, CONNECTS_BURST)

    def take(self, device_id: str, now_ms: int) -> bool:
        """Whether the device may connect now."""
        return self._buckets.take(device_id, now_ms)


class LogLines:
    """Which refusals are logged: a flood of them must not be one of the log."""

    def __init__(self, now_ms: int) -> None:
        self._all = TokenBucket(LOGGED_PER_S, LOGGED_BURST, now_ms)
        self._by_address: _Buckets[str] = _Buckets(
            LOGGED_PER_ADDRESS_PER_MIN / 60, LOGGED_PER_ADDRESS_BURST
        )
        self._left_out = 0

    def take(self, address: str, now_ms: int) -> int | None:
        """How many were left out since the last line, or None where this one is left out, too."""
        # An address that has had its lines takes none from the others.
        if self._by_address.take(_place(address), now_ms) and self._all.take(1, now_ms):
            left_out, self._left_out = self._left_out, 0
            return left_out
        self._left_out += 1
        return None


def _place(address: str) -> str:
    """What one party holds: an IPv4 address, or the network that an IPv6 address is in."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(IPv6Address(int(ip) >> _IPV6_SITE_BITS << _IPV6_SITE_BITS))
    return str(ip)
