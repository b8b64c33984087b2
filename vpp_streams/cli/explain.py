"""``vpp explain``: why a bid is what it is, decided again from its inputs."""

from typing import Annotated

import typer

from vpp_streams.settings import load_settings


def explain(
    bid_id: Annotated[str, typer.Argument(help="the bid's id: MARKET:REGION:START_MS")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Explain a bid: its inputs and offer, what became of it, and whether it is made again so.

    The records that had been read when it was decided are read again, by the offsets in the bid,
    and the Autobidder decides anew from them alone.
    """
    import asyncio

    from rich.console import Console

    from vpp_streams.cli.screens.explain import explanation_text
    from vpp_streams.market.explanation import explain as explained

    stderr = Console(stderr=True)
    with stderr.status(f"looking for {bid_id[:80]}") as status:
        told = asyncio.run(explained(load_settings(), bid_id, status.update))
    if as_json:
        from vpp_streams.cli.dispatch import print_json

        print_json(told)
    else:
        Console().print(explanation_text(told))
