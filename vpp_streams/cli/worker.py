"""``vpp worker ROLE``: run one worker."""

import asyncio
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings


def worker(
    role: Annotated[
        str, typer.Argument(help="ingest, fleet, flow, region, optimizer or historian")
    ],
    port: Annotated[
        int | None, typer.Option(help="port of the worker's pages (fleet, flow)", min=1, max=65535)
    ] = None,
) -> None:
    """Run one worker of a role. Start more of the same role to share its partitions.

    ingest  reads raw device topics, writes canonical telemetry and dead letters
    fleet   maintains twins and site windows, publishes region partials
    flow    does the work of ingest and fleet in one process, at less cost; instead of them
    region  merges partials into regions
    optimizer  bids each region's batteries into the market, and delivers its awards (one is enough)
    historian  keeps windows, market and control records for years, for `vpp report`
    """
    from vpp_streams.app import ROLES, run_worker
    from vpp_streams.kafka.admin import ensure_topics
    from vpp_streams.kafka.clients import KafkaClients

    if role not in ROLES:
        raise InputError(f"there is no role {role!r}; choose one of {', '.join(ROLES)}")
    settings = load_settings(worker_port=port)
    asyncio.run(ensure_topics(KafkaClients(settings)))
    run_worker(role, settings)
