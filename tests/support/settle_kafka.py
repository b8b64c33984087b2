"""An interval in Kafka that is due to be settled."""

from schemas.market import Award
from schemas.programs import Enrolment
from tests.support.settle_world import SHARE_60, delivery, home, site_window, terms
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.outlet import write_many
from vpp_streams.settings import Settings


async def sold_and_delivered(settings: Settings, sold: Award) -> None:
    """A home that gave 6 kW for five minutes, its terms, and what the market paid for it."""
    clients = KafkaClients(settings)
    await write_many(clients, topics.ASSETS, [home("home-1")])
    by_rate = terms(program_id="by-rate", per_kwh_micros=1)
    await write_many(clients, topics.PROGRAMS, [SHARE_60, by_rate])
    enrolment = Enrolment(site_id="home-1", program_id=SHARE_60.program_id, effective_from_ms=0)
    await write_many(clients, topics.ENROLMENTS, [enrolment])
    minutes = range(sold.start_ms, sold.start_ms + sold.interval_ms, 60_000)
    windows = [site_window("home-1", at, 100.0, -100.0) for at in minutes]
    await write_many(clients, topics.SITE_WINDOWS, windows)
    await write_many(clients, topics.MARKET_AWARDS, [sold])
    await write_many(clients, topics.MARKET_DELIVERIES, [delivery(sold, 6_000.0)])
