"""``vpp hold``: the kill switch of a region."""

from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.web.kafka_hold import KafkaOrdered

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
    gives the owner of VPP_OPERATOR_TOKEN the right `hold`. With --kafka the web
    process is skipped. The output says which way was used.
    """
    settings = load_settings()
    if not kafka and _given_to_the_web_process(settings, region, reason, release, as_json):
        return
    _write_to_kafka(settings, region, reason, release, as_json)


def _given_to_the_web_process(
    settings: Settings, region: str, reason: str, release: bool, as_json: bool
) -> bool:
    """Whether the web process answered; its refusal of the order is raised."""
    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.cli.dispatch import give_order
    from vpp_streams.errors import WebSilentError

    with ApiClient(settings, timeout_s=_WEB_S) as api:
        try:
            if release:
                _release(api, region, as_json)
            else:
                give_order(api, region, "hold", {"reason": reason}, as_json)
        except WebSilentError as error:
            typer.echo(f"{error}; trying Kafka directly at {settings.kafka}", err=True)
            return False
        _print_way(f"the web process at {api.url}", region, release, as_json)
    return True


def _release(api: "ApiClient", region: str, as_json: bool) -> None:
    from schemas.dispatch import Hold
    from vpp_streams.cli.dispatch import dispatch_of, withdraw_request
    from vpp_streams.cli.screens.dispatch_view import is_over

    standing = [
        view.request.request_id
        for view in dispatch_of(api, region).requests
        if isinstance(view.request, Hold) and not is_over(view)
    ]
    if not standing:
        raise InputError(f"{region} is not held")
    for request_id in standing:
        withdraw_request(api, region, request_id, as_json)


def _write_to_kafka(
    settings: Settings, region: str, reason: str, release: bool, as_json: bool
) -> None:
    from vpp_streams.web.kafka_hold import KafkaHold

    way = KafkaHold(settings)
    ordered = way.release(region) if release else [way.hold(region, reason)]
    for answer in ordered:
        _show(answer, region, as_json)
    _print_way(f"Kafka directly at {settings.kafka}", region, release, as_json)


def _show(answer: "KafkaOrdered", region: str, as_json: bool) -> None:
    from vpp_streams.cli.dispatch import print_json

    if as_json:
        print_json(answer)
    elif answer.state == "written":
        typer.echo(
            f"{answer.request_id} is written; no region worker has answered yet: one that starts"
            f" will find it (is there a region {region!r}?)"
        )
    else:
        typer.echo(f"{answer.request_id} {answer.state}")


def _print_way(way: str, region: str, release: bool, as_json: bool) -> None:
    if as_json:
        return
    typer.echo(f"it was written through {way}")
    if not release:
        typer.echo(f"release it with: vpp hold {region} --release")
