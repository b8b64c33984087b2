"""Homes of `vpp up` whose agents are the real ones, each on an inverter of its own.

An inverter is a process that simulates the home and answers over Modbus; its agent is the process
that a home runs (`vpp edge run`), with a configuration and a token in files of its own.
"""

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from device_sim.fleet import DEMO_REGIONS, DEMO_SECRET, device_token
from schemas.assets import Device, Site
from vpp_streams.domain.registry.demo_tokens import token_hash
from vpp_streams.errors import InputError
from vpp_streams.local.supervisor import Spec
from vpp_streams.process.ports import free_port
from vpp_streams.process.private_files import write_private
from vpp_streams.settings import Settings

ENERGY_WH, POWER_W, SOLAR_W = 13_500.0, 5_000.0, 6_000.0
BACKUP_RESERVE = 0.2
_CONFIG = """\
[gateway]
url = "{gateway_url}"
device_id = "{device_id}"
token_file = "{device_id}.token"

[home]
backup_reserve = {backup_reserve}

[driver]
name = "sunspec"
host = "127.0.0.1"
port = {port}

[storage]
path = "{device_id}.db"
"""


def edge_sites(count: int) -> list[Site]:
    """The sites edge-01.., one home each, spread over the demo's regions.

    Raises `InputError` where the libraries of their inverters are not installed.
    """
    if count and not (find_spec("pymodbus") and find_spec("sunspec2")):
        raise InputError("--edge needs Modbus: pip install 'vpp-streams[edge-sunspec]'")
    return [
        Site(
            f"site-{device_id}",
            DEMO_REGIONS[number % len(DEMO_REGIONS)],
            (
                Device(
                    device_id,
                    "powerwall",
                    "sunspec",
                    ENERGY_WH,
                    POWER_W,
                    POWER_W,
                    SOLAR_W,
                    token_hash(device_token(device_id, DEMO_SECRET)),
                ),
            ),
            backup_reserve=BACKUP_RESERVE,
        )
        for number, device_id in enumerate(_device_ids(count))
    ]


def _device_ids(count: int) -> list[str]:
    return [f"edge-{number:02d}" for number in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class EdgeHome:
    """One home: the port of its inverter, and its agent's configuration."""

    device_id: str
    port: int
    config: Path

    def specs(self, environment: Mapping[str, str]) -> tuple[Spec, Spec]:
        """Its two processes."""
        inverter = ("device_sim.modbus_inverter", "--port", str(self.port))
        agent = ("edge", "run", str(self.config))
        return (
            Spec(f"inverter-{self.device_id}", (sys.executable, "-m", *inverter), environment),
            Spec(f"agent-{self.device_id}", (sys.executable, "-m", *agent), environment),
        )


def folder_of(settings: Settings) -> Path:
    """Where the files of the homes' agents are."""
    return settings.state_dir / "edge" / settings.namespace


def modbus_port(settings: Settings, device_id: str) -> int:
    """The port of a home's inverter, once its files are written."""
    config = tomllib.loads((folder_of(settings) / f"{device_id}.toml").read_text("utf-8"))
    return int(config["driver"]["port"])


def prepared(settings: Settings, count: int, gateway_url: str) -> list[EdgeHome]:
    """Write the files of ``count`` agents that connect to a gateway; each has a free port."""
    folder = folder_of(settings)
    return [_prepared(folder, device_id, gateway_url) for device_id in _device_ids(count)]


def _prepared(folder: Path, device_id: str, gateway_url: str) -> EdgeHome:
    home = EdgeHome(device_id, free_port(), folder / f"{device_id}.toml")
    write_private(folder / f"{device_id}.token", device_token(device_id, DEMO_SECRET).encode())
    text = _CONFIG.format(
        gateway_url=gateway_url,
        device_id=device_id,
        backup_reserve=BACKUP_RESERVE,
        port=home.port,
    )
    write_private(home.config, text.encode())
    return home
