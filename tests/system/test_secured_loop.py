"""The complete loop on a Kafka that denies what nobody allowed: each process as its own user."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.assets import Site
from tests.support.kafka_world import until
from tests.support.secure_kafka import SecureKafka, running_secure_kafka
from tests.support.secured_roles import SecuredWorld
from vpp_streams.errors import LedgerError
from vpp_streams.local import demo
from vpp_streams.local.demo_check import read_summary, summary_client
from vpp_streams.local.drill import drill
from vpp_streams.local.simulated_fleet import sites_to_simulate
from vpp_streams.local.supervisor import Supervisor
from vpp_streams.settings import Settings
from vpp_streams.settlement.database import open_ledger
from vpp_streams.settlement.tables import ENTRIES

pytestmark = [pytest.mark.kafka, pytest.mark.nightly]
SETTLED_S = 600.0
"""How long the first award's interval, its delivery and its settlement may take."""
FLEET = demo.DemoFleet(homes=6, solar=1, megapacks=1, seed=1)


@pytest.fixture
def kafka_with_users(tmp_path: Path) -> Iterator[SecureKafka]:
    with running_secure_kafka(tmp_path / "kafka") as running:
        yield running


async def test_each_role_does_its_work_as_its_own_user_and_nothing_is_denied(
    kafka_with_users: SecureKafka, tmp_path: Path
) -> None:
    sites = sites_to_simulate(FLEET.homes, FLEET.solar, FLEET.megapacks, seed=FLEET.seed)
    with ExitStack() as stack:
        world = SecuredWorld(kafka_with_users, "secured", tmp_path)
        await world.prepare()
        settings, _ = demo.with_free_ports(
            world.settings("operator", market_interval_s=60, market_gate_s=10.0)
        )
        await demo.register(settings, sites)
        keys = stack.enter_context(demo.demo_account(settings, "operator"))
        settings, _ = stack.enter_context(demo.demo_operator(settings))
        roles = [world.as_its_user(spec) for spec in demo.specs(settings, FLEET)]
        supervisor = Supervisor(roles, tmp_path / "logs")
        async with demo.loop_running(supervisor):
            await _until_regions_are_complete(settings, sites, keys.reader)
            await _dispatch(settings, sites)
            await until(lambda: _booked(settings), "entries in the ledger", SETTLED_S)
        assert supervisor.restarts == dict.fromkeys(supervisor.restarts, 0)
        assert kafka_with_users.denied() == []


async def _until_regions_are_complete(settings: Settings, sites: list[Site], token: str) -> None:
    devices = sum(len(site.devices) for site in sites)
    async with summary_client(settings, token) as client:

        async def complete() -> bool:
            summary = await read_summary(client)
            return (
                summary is not None
                and summary.devices_connected == devices
                and {region.region for region in summary.regions} == {s.region for s in sites}
                and all(region.coverage == 1 for region in summary.regions)
            )

        await until(complete, "every device to report", SETTLED_S)


async def _dispatch(settings: Settings, sites: list[Site]) -> None:
    """Order power of every region, and see that batteries accept it."""
    region_of = {device.device_id: site.region for site in sites for device in site.devices}
    batteries = {
        device.device_id for site in sites for device in site.devices if device.rated_energy_wh
    }
    report = await drill(settings, set(region_of.values()), region_of, 10.0)
    assert report.devices == len(batteries)
    assert report.refused == 0
    assert report.breaches == 0


async def _booked(settings: Settings) -> bool:
    """Whether the settlement role has booked entries; it creates the ledger at its start."""
    try:
        engine = open_ledger(settings)
    except LedgerError:
        return False
    with engine.connect() as connection:
        return bool(connection.scalar(sa.select(sa.func.count()).select_from(ENTRIES)))
