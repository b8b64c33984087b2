"""``vpp explain``: why a bid is as it is, decided again from its inputs."""

from typing import Annotated

import typer

from vpp_streams.settings import load_settings


def explain(
    bid_id: Annotated[str, typer.Argument(help="the bid's id: MARKET:REGION:START_MS")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Explain a bid: its inputs, offer and outcome, and whether it is decided the same again.

    The records that the decision had read are read again, by the offsets in the bid, and the
    Autobidder decides again from them alone.
    """
    import asyncio

    from rich.console import Console

    from vpp_streams.cli.screens.explain import explanation_text
    from vpp_streams.market.explanation import explain as explained

    stderr = Console(stderr=True)
    with stderr.status(f"searching for {bid_id[:80]}") as status:
        explanation = asyncio.run(explained(load_settings(), bid_id, status.update))
    if as_json:
        from vpp_streams.cli.screens.documents import print_json

        print_json(explanation)
    else:
        Console().print(explanation_text(explanation))
