"""``vpp market``: a simulated market to bid into."""

from typing import Annotated

import typer

from vpp_streams.settings import load_settings


def market(
    seed: Annotated[int, typer.Option(help="the same seed gives the same prices", min=0)] = 1,
) -> None:
    """Run a simulated energy market: gates, prices and awards on topic `market.awards`.

    It accepts bids from `market.bids`. Its day, a duck curve with spikes and negative prices at
    midday, has 288 intervals: with intervals of 5 minutes it lasts a day, with shorter ones
    (VPP_MARKET_INTERVAL_S) less.
    """
    import uvloop

    from vpp_streams.market.simulated import run_market
    from vpp_streams.process.logs import set_up_logs

    settings = load_settings()
    set_up_logs(settings)
    uvloop.run(run_market(settings, seed))
