"""Whatever is in topic ``settlement.entries``: it is booked or refused, and never an error."""

import random
from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.entry_frames import encode_entries
from tests.support.ledger_world import LedgerWorld, batch, home_of, row
from tests.support.topic_mutants import mutant
from vpp_streams.settings import Settings
from vpp_streams.settlement.booking import EntriesRefused
from vpp_streams.settlement.checks import changed_entries
from vpp_streams.settlement.role import decoded


@settings(
    max_examples=15, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.integers(0, 2**32))
def test_a_mutant_is_booked_or_refused(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    chance = random.Random(seed)
    good = encode_entries(batch([row(site_id=home_of(3, n)) for n in range(3)]))
    world = LedgerWorld(Settings(state_dir=tmp_path_factory.mktemp("ledger")))
    raws = [
        SimpleNamespace(
            value=mutant(good, chance) if n % 4 else good, partition=3, offset=n, timestamp=n,
            key=b"north", headers=(),
        )
        for n in range(24)
    ]  # fmt: skip
    found = decoded(3, raws)
    assert len(found.records) == len(raws)
    assert {raw.offset for raw, _ in found.refusals} == {
        record.offset for record in found.records if record.block is None
    }
    after = None
    for record in found.records:
        with suppress(EntriesRefused):
            world.books.book(3, after, [record])
            after = record.offset + 1
    assert world.books.entries >= 3
    with world.connect() as ledger:
        assert list(changed_entries(ledger)) == []
    world.engine.dispose()
