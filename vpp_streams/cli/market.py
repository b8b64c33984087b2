"""``vpp market``: a simulated market to bid into."""

from typing import Annotated

import typer

from vpp_streams.settings import load_settings


def market(
    seed: Annotated[int, typer.Option(help="the same seed gives the same prices", min=0)] = 1,
    day_ahead: Annotated[
        bool, typer.Option("--day-ahead", help="an auction of days instead: market sim-day")
    ] = False,
) -> None:
    """Run a simulated energy market: gates, prices and awards on topic `market.awards`.

    It accepts bids from `market.bids`. Its day, a duck curve with spikes and negative prices at
    midday, has 288 intervals: with intervals of 5 minutes it lasts a day, with shorter ones
    (VPP_MARKET_INTERVAL_S) less.

    With --day-ahead one gate closes for all 24 intervals of a day, half a day before it begins.
    The market then takes order books from `market.orders`: hourly orders and loops.
    """
    import uvloop

    from vpp_streams.market.simulated import run_market
    from vpp_streams.market.simulated_days import run_day_market
    from vpp_streams.process.logs import set_up_logs

    settings = load_settings()
    set_up_logs(settings)
    uvloop.run(run_day_market(settings, seed) if day_ahead else run_market(settings, seed))
