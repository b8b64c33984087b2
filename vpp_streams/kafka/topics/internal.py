"""Topics between the workers of a role; no contract for others."""

from vpp_streams.kafka.topic import Topic

STATE_FLEET = Topic[bytes](
    "state.fleet", "twins, windows and clock of each fleet partition, in blocks", keep="compact"
)
STATE_REGION = Topic[bytes](
    "state.region",
    "open windows of regions, and what was decided on requests",
    partitions=1,
    keep="compact",
)
SEATS_INGEST = Topic[bytes]("seats.ingest", "no records: the group of the role shares it out")
SEATS_FLEET = Topic[bytes]("seats.fleet", "no records: the group of the role shares it out")
INTERNAL = (STATE_FLEET, STATE_REGION, SEATS_INGEST, SEATS_FLEET)
"""Topics between the workers of a role; no contract for others."""
