"""``vpp hold``: the kill switch of a region."""

from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.web.kafka_hold import KafkaOrdered

_WEB_S = 12.0
"""The web process answers within this: it gives Kafka and the region role some seconds."""


def hold(
    region: Annotated[str, typer.Argument(help="region to hold")],
    reason: Annotated[str, typer.Option(help="why, for those who find it held")] = "",
    release: Annotated[
        bool, typer.Option("--release", help="end the region's holds: requests rule again")
    ] = False,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="write straight to Kafka, without the web process")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Stop asking a region for anything, at once: its devices are left to themselves.

    It stands above every request until `vpp hold REGION --release`.

    Where the web process does not answer, the order goes straight to Kafka
    (VPP_KAFKA, VPP_NAMESPACE), with the same rights: the file VPP_OPERATORS
    gives the owner of VPP_OPERATOR_TOKEN the right `hold`. With --kafka the web
    process is not even asked. The output says which way the order went.
    """
    settings = load_settings()
    if not kafka and _asked_the_web_process(settings, region, reason, release, as_json):
        return
    _write_to_kafka(settings, region, reason, release, as_json)


def _asked_the_web_process(
    settings: Settings, region: str, reason: str, release: bool, as_json: bool
) -> bool:
    """Whether the web process took the order (or refused it, which is raised)."""
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
            typer.echo(f"{error}; trying Kafka itself at {settings.kafka}", err=True)
            return False
        _say_the_way(f"the web process at {api.url}", region, release, as_json)
    return True


def _release(api: "ApiClient", region: str, as_json: bool) -> None:
    from schemas.dispatch import Hold
    from vpp_streams.cli.dispatch import dispatch_of, withdraw_request
    from vpp_streams.cli.screens.dispatch_view import is_over

    standing = [
        told.request.request_id
        for told in dispatch_of(api, region).requests
        if isinstance(told.request, Hold) and not is_over(told)
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
    _say_the_way(f"Kafka itself at {settings.kafka}", region, release, as_json)


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


def _say_the_way(way: str, region: str, release: bool, as_json: bool) -> None:
    if as_json:
        return
    typer.echo(f"it went through {way}")
    if not release:
        typer.echo(f"release it with: vpp hold {region} --release")
