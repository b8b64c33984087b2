"""``vpp hold``: the kill switch of a region."""

from typing import Annotated

import typer

from vpp_streams.errors import WebSilentError
from vpp_streams.settings import load_settings

_WEB_S = 12.0
"""Time-out of the web process, s; it waits some seconds for Kafka and the region role."""


def hold(
    region: Annotated[str, typer.Argument(help="region to hold")],
    reason: Annotated[str, typer.Option(help="why; shown to everybody")] = "",
    release: Annotated[
        bool, typer.Option("--release", help="end the region's holds: requests apply again")
    ] = False,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="write directly to Kafka, without the web process")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Stop all commands of a region at once: its devices return to self-consumption.

    It takes precedence over every request until `vpp hold REGION --release`.

    If the web process does not answer, the order is written directly to Kafka
    (VPP_KAFKA, VPP_NAMESPACE), with the same rights: the file VPP_OPERATORS
    gives the owner of VPP_TOKEN the right `hold`. With --kafka the web
    process is skipped. The output says which way was used.
    """
    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.cli.region_requests import give_order, release_holds
    from vpp_streams.cli.screens.hold_outcomes import show_held, show_released, show_written
    from vpp_streams.web.kafka_hold import KafkaHold

    settings = load_settings()
    if not kafka:
        try:
            with ApiClient(settings, timeout_s=_WEB_S) as api:
                way = f"the web process at {api.url}"
                if release:
                    show_released(release_holds(api, region), way, as_json)
                else:
                    ordered = give_order(api, region, "hold", {"reason": reason})
                    show_held(ordered, region, way, as_json)
            return
        except WebSilentError as error:
            typer.echo(f"{error}; trying Kafka directly at {settings.kafka}", err=True)
    direct = KafkaHold(settings)
    answers = direct.release(region) if release else [direct.hold(region, reason)]
    way = f"Kafka directly at {settings.kafka}"
    show_written(answers, region, way, released=release, as_json=as_json)
