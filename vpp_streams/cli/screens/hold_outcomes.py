"""Outcomes of holds and their releases, with the way on which they were ordered."""

from collections.abc import Iterable

import typer

from vpp_streams.cli.screens.documents import print_json
from vpp_streams.cli.screens.outcomes import show_order, show_withdrawal
from vpp_streams.serving.control_views import Ordered
from vpp_streams.web.kafka_hold import KafkaOrdered


def show_held(ordered: Ordered, region: str, way: str, as_json: bool) -> None:
    """Print the outcome of a hold that the web process has accepted."""
    show_order(ordered, as_json)
    if not as_json:
        _print_way(way, region, released=False)


def show_released(released: Iterable[tuple[str, Ordered]], way: str, as_json: bool) -> None:
    """Print the outcome of each withdrawn hold."""
    for request_id, ordered in released:
        show_withdrawal(ordered, request_id, as_json)
    if not as_json:
        _print_way(way, "", released=True)


def show_written(
    answers: Iterable[KafkaOrdered], region: str, way: str, *, released: bool, as_json: bool
) -> None:
    """Print the outcomes of orders that were written directly to Kafka."""
    for answer in answers:
        if as_json:
            print_json(answer)
        elif answer.state == "written":
            typer.echo(
                f"{answer.request_id} is written; no region worker has answered yet: one that"
                f" starts will find it (is there a region {region!r}?)"
            )
        else:
            typer.echo(f"{answer.request_id} {answer.state}")
    if not as_json:
        _print_way(way, region, released=released)


def _print_way(way: str, region: str, *, released: bool) -> None:
    typer.echo(f"it was written through {way}")
    if not released:
        typer.echo(f"release it with: vpp hold {region} --release")
