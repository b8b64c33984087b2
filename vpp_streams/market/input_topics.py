"""The topics that decisions are made from, and how far back a decision reads each."""

from collections.abc import Mapping
from typing import Any

from vpp_streams.domain.market.knowledge import FRESH_MS, HISTORY_MS, SLACK_MS
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic

READ_BACK_MS: Mapping[Topic[Any], int] = {
    topics.MARKET_AWARDS: HISTORY_MS + SLACK_MS,
    topics.MARKET_BIDS: DAY_MS + SLACK_MS,
    topics.MARKET_DELIVERIES: DAY_MS + SLACK_MS,
    topics.MARKET_PLANS: DAY_MS + SLACK_MS,
    topics.DISPATCH_EVENTS: FRESH_MS + 60_000,
    topics.REGION_LIVE: FRESH_MS + 60_000,
    topics.MARKET_PUBLISHED: HISTORY_MS,
    topics.MARKET_ORDERS: 2 * DAY_MS + SLACK_MS,
    topics.REGION_FORECASTS: DAY_MS + SLACK_MS,
}
"""Per input topic: the age that a record may have at the time of the decision, ms."""
