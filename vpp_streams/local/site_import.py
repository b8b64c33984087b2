"""The registry in topic ``assets``: read it as it is now, add sites, change their states."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas.assets import Site, SiteState
from schemas.bounds import Label
from vpp_streams import clock
from vpp_streams.domain.identity.refusals import Subject
from vpp_streams.domain.registry.import_plan import ImportPlan, plan_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.registry.states import in_state, why_not
from vpp_streams.errors import InputError
from vpp_streams.identity.ca_files import read_root
from vpp_streams.identity.operating import check_codes_file, hand_out_codes
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import assets_into
from vpp_streams.kafka.outlet import write_many
from vpp_streams.process.connection import onlooker
from vpp_streams.process.user_files import read_sites
from vpp_streams.settings import Settings


class Imported(NamedTuple):
    """What an import wrote."""

    plan: ImportPlan
    codes: int
    """One-time codes that were handed out."""


async def read_registry(settings: Settings) -> Registry:
    """The registry as it is now; creates the topics that are missing. Raises `BrokerError`."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    registry = Registry()
    async with onlooker(clients).following(assets_into(registry)):
        return registry


async def import_file(
    settings: Settings,
    file: Path,
    agree: Callable[[ImportPlan], None],
    shown: Callable[[list[Site]], Iterable[Site]] = lambda sites: sites,
    *,
    enrol_out: Path | None = None,
) -> Imported:
    """Import an asset file; ``shown`` may display how the sites are written, one by one.

    ``agree`` is called before anything is written, and raises an error to prevent it.
    ``enrol_out`` is a new file for one-time codes of the devices. Raises `InputError` with every
    problem of the files, before anything is written.
    """
    # Without the authority, or with a file that is there, no code could be handed out.
    root = None if enrol_out is None else read_root(settings.ca)
    if enrol_out is not None:
        check_codes_file(enrol_out)
    registry = await read_registry(settings)
    sites = read_sites(file, registry, clock.now_ms())
    plan = plan_of(sites, registry)
    agree(plan)
    await write_many(KafkaClients(settings), topics.ASSETS, shown(plan.records))
    subjects = [
        Subject(device.device_id, site.site_id)
        for site in sites
        if site.state != "retired"
        for device in site.devices
    ]
    if enrol_out is None or root is None:
        return Imported(plan, 0)
    await hand_out_codes(settings, subjects, enrol_out, root)
    return Imported(plan, len(subjects))


async def change_state(settings: Settings, site_id: str, state: SiteState, reason: str) -> str:
    """Write a site's record with another state; returns the state that it had.

    Raises `InputError` where there is no such site, its state does not allow the change, or the
    reason is not a `Label`.
    """
    try:
        msgspec.convert(reason, Label)
    except msgspec.ValidationError:
        raise InputError("a reason is one line of at most 200 characters") from None
    site = (await read_registry(settings)).record(site_id)
    if site is None:
        raise InputError(f"no site {site_id!r} in the registry; see `vpp assets list`")
    if why := why_not(site.state, state):
        raise InputError(f"{site_id}: {why}; nothing was written")
    changed = in_state(site, state, clock.now_ms(), reason)
    if changed != site:
        await write_many(KafkaClients(settings), topics.ASSETS, [changed])
    return site.state
