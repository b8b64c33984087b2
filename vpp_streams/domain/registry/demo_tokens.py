"""Tokens of simulated devices: they derive from a secret, which for the demo is public."""

import hashlib
import hmac
from collections.abc import Iterable

from schemas.assets import Device

DEMO_SECRET = "vpp-demo"
"""Not a secret: anybody who reads this can report as any device of the demo."""


def device_token(device_id: str, secret: str = DEMO_SECRET) -> str:
    """A simulated device's bearer token."""
    return hmac.new(secret.encode(), device_id.encode(), hashlib.sha256).hexdigest()


def token_hash(token: str) -> str:
    """The form in which the registry keeps a token: hex SHA-256."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def is_demo_token(device_id: str, token: str) -> bool:
    """Whether anybody could know this token of the device."""
    return token == device_token(device_id)


def count_demo_devices(devices: Iterable[Device]) -> int:
    """How many of the devices have a token that anybody could know."""
    return sum(
        device.token_sha256.lower() == token_hash(device_token(device.device_id))
        for device in devices
    )
