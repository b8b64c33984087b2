"""The registry in topic ``assets``: read it as it is now, and add sites to it."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from aiokafka.errors import KafkaError

from schemas.assets import Site
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.follower import assets_into
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.connection import onlooker
from vpp_streams.process.user_files import read_sites
from vpp_streams.settings import Settings


class Imported(NamedTuple):
    """How many sites of a file were new to the registry, changed it, or were in it already."""

    new: int
    changed: int
    unchanged: int


async def read_registry(settings: Settings) -> Registry:
    """The registry as it is now; creates the topics that are missing. Raises `BrokerError`."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    registry = Registry()
    async with onlooker(clients).following(assets_into(registry)):
        return registry


async def write_sites(settings: Settings, sites: Iterable[Site]) -> None:
    """Add sites to the registry, or replace them. Raises `BrokerError`."""
    try:
        async with producing(KafkaClients(settings)) as producer:
            outlet = Outlet(producer, settings.namespace)
            await asyncio.gather(*[await outlet.send(topics.ASSETS, site) for site in sites])
    except KafkaError as error:
        raise BrokerError(
            f"Kafka did not take all sites ({error!r}); run the same command again"
        ) from None


async def import_file(
    settings: Settings,
    file: Path,
    shown: Callable[[list[Site]], Iterable[Site]] = lambda sites: sites,
) -> Imported:
    """Import an asset file; ``shown`` may display how the sites are written, one by one.

    Raises `InputError` with every problem of the file, before anything is written.
    """
    registry = await read_registry(settings)
    sites = read_sites(file, registry)
    changed = [site for site in sites if _changes(site, registry)]
    new = sum(registry.site(site.site_id) is None for site in changed)
    await write_sites(settings, shown(changed))
    return Imported(new, len(changed) - new, len(sites) - len(changed))


def _changes(site: Site, registry: Registry) -> bool:
    known = registry.site(site.site_id)
    return known != site and not (site.removed and known is None)
