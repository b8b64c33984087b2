"""The list of who reads and writes what equals the code, and leaves no topic out."""

import re
from pathlib import Path
from typing import Any

import pytest

from vpp_streams.kafka import topics
from vpp_streams.kafka.access.principals import PRINCIPALS, REPORTS, principal, readable
from vpp_streams.kafka.topic import Topic
from vpp_streams.rpc.server import FOLLOWED

ROOT = Path(__file__).parents[3]
WORKER = "vpp_streams/app.py"
CODE = {
    "gateway": ("vpp_streams/gateway",),
    "ingest": ("agents/ingest.py", WORKER),
    "fleet": (
        "agents/fleet.py",
        "agents/command.py",
        "agents/control_feed.py",
        "agents/holders.py",
        "agents/window_publisher.py",
        "agents/fleet_pages.py",
        WORKER,
    ),
    "flow": (
        "agents/flow.py",
        "agents/ingest.py",
        "agents/fleet.py",
        "agents/command.py",
        "agents/control_feed.py",
        "agents/holders.py",
        "agents/window_publisher.py",
        "agents/fleet_pages.py",
        WORKER,
    ),
    "region": ("agents/region.py", "agents/dispatcher.py", WORKER),
    "optimizer": tuple(
        f"vpp_streams/market/{name}.py"
        for name in ("optimizer", "awards", "day_books", "forecasts", "input_topics")
    ),
    "market": ("vpp_streams/market/simulated.py", "vpp_streams/market/simulated_days.py"),
    "settlement": ("vpp_streams/settlement",),
    "incidents": ("vpp_streams/incidents",),
    "identity": ("vpp_streams/identity",),
    "web": ("vpp_streams/web", "vpp_streams/serving"),
    "openadr": ("vpp_streams/openadr",),
}
"""Where the code of a role is that names topics."""
FEEDS: dict[str, Topic[Any]] = {
    "assets_into(": topics.ASSETS,
    "preferences_into(": topics.PREFERENCES,
    "revocations_into(": topics.IDENTITY_REVOCATIONS,
}
"""Feeds that others share, by the call."""
NOT_USED = {"gateway": {topics.COMMANDS}, "flow": {topics.SEATS_FLEET}}
"""Topics that are named for something else: the gateway looks up how long commands are kept, and
flow sits in ingest's group only."""


def code_of(role: str) -> str:
    files = [
        file
        for place in CODE[role]
        for file in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    return "\n".join(file.read_text() for file in files)


def named_in(role: str) -> set[Topic[Any]]:
    code = code_of(role)
    found: set[Topic[Any]] = {topic for call, topic in FEEDS.items() if call in code}
    if f'Duty("{role}"' in code:
        found.add(topics.DUTY)
    for name in re.findall(r"\btopics\.([A-Z][A-Z_]+)\b", code):
        match getattr(topics, name):
            case Topic() as one:
                found.add(one)
            case dict() as by_kind:
                found.update(by_kind.values())
            case many:
                found.update(many)
    return found


@pytest.mark.parametrize("role", CODE)
def test_a_role_has_what_its_code_names_and_nothing_else(role: str) -> None:
    one = principal(role)
    granted = {topic.name for topic in {*one.reads, *one.writes} - {*REPORTS}}
    named = named_in(role) - NOT_USED.get(role, set()) - {*REPORTS}
    assert granted == {topic.name for topic in named}


@pytest.mark.parametrize("role", CODE)
def test_a_role_may_read_what_it_follows(role: str) -> None:
    followed = re.findall(r"\bFeed\(\s*topics\.([A-Z_]+)\b", code_of(role))
    reads = {topic.name for topic in readable(principal(role))}
    assert {getattr(topics, name).name for name in followed} <= reads


def test_rpc_reads_what_it_follows() -> None:
    assert set(principal("rpc").reads) == FOLLOWED


def test_every_topic_has_a_writer_and_a_reader() -> None:
    read = {topic for one in PRINCIPALS for topic in one.reads}
    written = {topic for one in PRINCIPALS for topic in (*one.writes, *REPORTS)}
    # Nobody writes seats, and for a group its members need no more than to read.
    seats = {topics.SEATS_FLEET, topics.SEATS_INGEST}
    everything = {*topics.ALL, *topics.INTERNAL}
    # Only `vpp` commands read the audit trail, as vpp-operator.
    assert read == everything
    assert written == everything - seats


@pytest.mark.parametrize(
    ("topic", "writers"),
    [
        (topics.LEDGER_DECISIONS, {"settlement"}),
        (topics.PREFERENCES, {"web"}),
        (topics.IDENTITY_CODES, {"identity"}),
        (topics.SETTLEMENT_ENTRIES, {"settlement"}),
        (topics.DISPATCH, {"region"}),
        (topics.GATEWAY_OUT, {"fleet", "flow"}),
        (topics.ASSETS, {"operator"}),
    ],
)
def test_who_writes_there_decides_so_few_may(topic: Topic[Any], writers: set[str]) -> None:
    assert {one.role for one in PRINCIPALS if topic in one.writes} == writers
