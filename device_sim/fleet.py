"""Demo fleets: sites with their devices, drawn from a seed; the same seed gives the same fleet."""

from collections.abc import Sequence

import numpy as np

from schemas.assets import Device, Site
from vpp_streams.domain.registry.demo_tokens import DEMO_SECRET, device_token, token_hash

__all__ = ["DEMO_SECRET", "demo_sites", "device_token"]

DEMO_REGIONS = ("north", "coast", "valley")

_PLACES = {"north": (40.6, -122.4), "coast": (37.0, -122.0), "valley": (36.7, -119.8)}
_ELSEWHERE = (38.0, -121.0)
_KWH = 1000.0
_HOME_MODELS = ("powerwall2", "powerwall3", "iq_battery", "gen24_storage")
_HOME_SHARES = (0.4, 0.35, 0.15, 0.1)
_PER_UNIT = {  # usable energy Wh, charge W, discharge W
    "powerwall2": (13.5 * _KWH, 5000.0, 5000.0),
    "powerwall3": (13.5 * _KWH, 5000.0, 11500.0),
    "iq_battery": (5.0 * _KWH, 3840.0, 3840.0),
    "gen24_storage": (11.0 * _KWH, 5000.0, 5000.0),
}
_EXPORT_LIMITS_W = (None, 5000.0, 10000.0, 0.0)
_EXPORT_SHARES = (0.6, 0.25, 0.1, 0.05)
_SOLAR_MODELS = ("symo_metered", "envoy", "symo")
UNMETERED_MODEL = "symo"
"""An inverter without a meter at the grid connection: it measures only its own power."""


def demo_sites(
    homes: int = 200,
    solar: int = 20,
    megapacks: int = 2,
    *,
    regions: Sequence[str] = DEMO_REGIONS,
    seed: int = 1,
    secret: str = DEMO_SECRET,
) -> list[Site]:
    """Sites of one device each: home-0001.., solar-0001.., mega-01.., spread over the regions.

    A home's device is its gateway: one device for any number of battery units.
    """
    rng = np.random.default_rng([seed, 0xF1EE7])
    made = [(f"home-{n:04d}", _home) for n in range(1, homes + 1)]
    made += [(f"solar-{n:04d}", _solar) for n in range(1, solar + 1)]
    made += [(f"mega-{n:02d}", _megapack) for n in range(1, megapacks + 1)]
    return [
        make(rng, device_id, token_hash(device_token(device_id, secret)), regions[i % len(regions)])
        for i, (device_id, make) in enumerate(made)
    ]


def _site(rng: np.random.Generator, region: str, device: Device, **limits: float | None) -> Site:
    latitude, longitude = np.array(_PLACES.get(region, _ELSEWHERE)) + rng.uniform(-0.3, 0.3, 2)
    return Site(
        f"site-{device.device_id}",
        region,
        (device,),
        latitude=round(float(latitude), 4),
        longitude=round(float(longitude), 4),
        **limits,  # type: ignore[arg-type]  # the callers below name fields of Site
    )


def _home(rng: np.random.Generator, device_id: str, token: str, region: str) -> Site:
    model = str(rng.choice(_HOME_MODELS, p=_HOME_SHARES))
    units = int(rng.choice((1, 2, 3), p=(0.75, 0.2, 0.05)))
    if model == "iq_battery":
        units += 1  # its units are small
    energy_wh, charge_w, discharge_w = (units * rating for rating in _PER_UNIT[model])
    solar_w = float(rng.integers(35, 120) * 100)
    device = Device(device_id, "powerwall", model, energy_wh, charge_w, discharge_w, solar_w, token)
    limit = _EXPORT_LIMITS_W[rng.choice(len(_EXPORT_LIMITS_W), p=_EXPORT_SHARES)]
    reserve = float(rng.choice((0.1, 0.2, 0.3, 0.5), p=(0.2, 0.5, 0.2, 0.1)))
    return _site(rng, region, device, export_limit_w=limit, backup_reserve=reserve)


def _solar(rng: np.random.Generator, device_id: str, token: str, region: str) -> Site:
    model = str(rng.choice(_SOLAR_MODELS))
    rated_w = float(rng.integers(30, 100) * 100)
    device = Device(device_id, "solar", model, rated_solar_w=rated_w, token_sha256=token)
    return _site(rng, region, device)


def _megapack(rng: np.random.Generator, device_id: str, token: str, region: str) -> Site:
    device = Device(
        device_id, "megapack", "megapack2xl", 3916 * _KWH, 1.9e6, 1.9e6, token_sha256=token
    )
    return _site(rng, region, device, export_limit_w=1.9e6, backup_reserve=0.05)
