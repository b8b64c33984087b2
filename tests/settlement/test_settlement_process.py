"""From entries in Kafka to a file for the bank, by the processes and commands of an operator."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from schemas.entry_frames import decode_entries, encode_entries
from schemas.rejected import RejectedRecord
from schemas.settlement import BANK, OPERATOR
from tests.support.kafka_world import make_again, read_all, write_raw
from tests.support.ledger_world import INTERVAL_MS, OCTOBER_MS, batch, home_of, interval, row
from tests.support.settle_kafka import sold_and_delivered
from tests.support.settle_world import award
from tests.support.settlement_process import environment, settlement
from tests.support.waiting import until, wait_until
from vpp_streams import clock
from vpp_streams.accounts.secrets import digest_of
from vpp_streams.cli import build_app
from vpp_streams.domain.settle.due import LATEST_MS
from vpp_streams.errors import VppError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import decode
from vpp_streams.process.connection import connected
from vpp_streams.process.health import HealthReporter
from vpp_streams.serving.operators import Operator, lines_for
from vpp_streams.settings import Settings
from vpp_streams.settlement.database import open_ledger
from vpp_streams.settlement.past_days import PastDays
from vpp_streams.settlement.queries import balances
from vpp_streams.settlement.settling import Settling

pytestmark = pytest.mark.kafka
ADA, GRACE = home_of(3), home_of(4)


def write_entries(settings: Settings, *records: tuple[int, list[dict[str, object]]]) -> None:
    raw = [(topics.SETTLEMENT_ENTRIES, "north", encode_entries(batch(r)), p) for p, r in records]
    asyncio.run(write_raw(settings, *raw))


def write_intervals(settings: Settings, first: int, count: int) -> None:
    """Intervals in which the two sites get 0.03125 and 0.5 EUR."""
    for n in range(first, first + count):
        start_ms = OCTOBER_MS + n * INTERVAL_MS
        rows = interval(start_ms, {ADA: 31_250, GRACE: 500_000}, operator_micros=100_000)
        write_entries(settings, *rows.items())


def asking(settings: Settings) -> Callable[[str], int]:
    """A function that gives an account's balance in EUR, micros."""

    def balance(account: str) -> int:
        engine = open_ledger(settings, create=True)
        with engine.connect() as ledger:
            found = balances(ledger, account).get("EUR", 0)
        engine.dispose()
        return found

    return balance


def rejected(settings: Settings) -> list[RejectedRecord]:
    name = topics.RECORDS_REJECTED.full(settings.namespace)
    records = asyncio.run(read_all(settings, name))
    return [decode(topics.RECORDS_REJECTED, record.value) for record in records]


@pytest.fixture
def ready(ledger_settings: Settings) -> Settings:
    asyncio.run(ensure_topics(KafkaClients(ledger_settings)))
    return ledger_settings


def test_a_killed_role_continues_and_refused_records_are_passed(
    ready: Settings, tmp_path: Path
) -> None:
    balance = asking(ready)
    write_intervals(ready, 0, 5)
    with settlement(ready, tmp_path / "first.log") as first:
        wait_until(lambda: balance(OPERATOR) > 0)
        first.kill()
        first.wait()
    wrong = row(site_id=ADA, amount_micros=7)
    write_entries(ready, (3, [wrong]))
    asyncio.run(write_raw(ready, (topics.SETTLEMENT_ENTRIES, "north", b"no entries", 6)))
    write_intervals(ready, 5, 5)
    with settlement(ready, tmp_path / "second.log") as second:
        wait_until(lambda: balance(OPERATOR) == 1_000_000)
        wait_until(lambda: balance(f"site:{ADA}") == 312_500)
        wait_until(lambda: len(rejected(ready)) == 2)
        second.terminate()
        assert second.wait(timeout=60) == 0
    reasons = sorted(letter.detail for letter in rejected(ready))
    assert f"the entry of {ADA} was booked before" in reasons[1]
    assert "no entries of settlement_entry.v1" in reasons[0]


def test_a_log_that_was_created_again_is_not_mixed_with_the_one_before(
    settings: Settings, tmp_path: Path
) -> None:
    asyncio.run(ensure_topics(KafkaClients(settings)))
    balance = asking(settings)
    write_intervals(settings, 0, 2)
    with settlement(settings, tmp_path / "first.log"):
        wait_until(lambda: balance(f"site:{ADA}") == 62_500 and balance(OPERATOR) == 200_000)
    asyncio.run(make_again(settings, topics.SETTLEMENT_ENTRIES))
    write_intervals(settings, 7, 3)
    with settlement(settings, tmp_path / "second.log") as second:
        assert second.wait(timeout=60) == 5
    said = (tmp_path / "second.log").read_text()
    assert "is not the log that this ledger was built from" in said
    assert "Traceback" not in said
    assert balance(f"site:{ADA}") == 62_500


def operators(tmp_path: Path, *names: str) -> dict[str, str]:
    """A file with these operators, whose tokens are their names; returns its variable."""
    path = tmp_path / "operators.toml"
    made = [
        Operator(name=n, token_sha256=digest_of(n), regions="*", may=("settle",)) for n in names
    ]
    path.write_text("\n".join(map(lines_for, made)))
    return {"VPP_OPERATORS": str(path)}


def test_a_month_is_closed_paid_and_built_again(
    ready: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    balance = asking(ready)
    for name, value in environment(ready, **operators(tmp_path, "ada", "grace")).items():
        monkeypatch.setenv(name, value)

    def vpp(words: str, by: str = "") -> Result:
        monkeypatch.setenv("VPP_TOKEN", by)
        return CliRunner().invoke(build_app(), words.split())

    payees = tmp_path / "payees.csv"
    payees.write_text(f"site_id,name,iban\n{ADA},Ada,DE89370400440532013000\n")
    with settlement(ready, tmp_path / "role.log"):
        write_intervals(ready, 0, 3)
        wait_until(lambda: balance(f"site:{GRACE}") == 1_500_000 and balance(OPERATOR) == 300_000)
        wait_until(lambda: balance(f"site:{ADA}") == 93_750)
        assert "2024-10 is closed (by ada)" in vpp("ledger close 2024-10", "ada").output
        again = vpp("ledger close 2024-10", "ada")
        assert isinstance(again.exception, VppError)
        proposed = vpp(f"payout propose --payees {payees}", "ada").output
        assert "1 sites, 0.09 EUR" in proposed
        assert "left out, without a bank account: 1 sites, 1.50 EUR" in proposed
        payout_id = proposed.split(":")[0]
        same_person = vpp(f"payout approve {payout_id}", "ada")
        assert "second person" in str(same_person.exception)
        nobody = vpp(f"payout approve {payout_id}", "eve")
        assert "nobody has the token" in str(nobody.exception)
        assert "is approved (by grace)" in vpp(f"payout approve {payout_id}", "grace").output
        wait_until(lambda: balance(BANK) == 90_000)
        assert balance(f"site:{ADA}") == 3_750
        files = f"--payees {payees} --csv {tmp_path}/p.csv --xml {tmp_path}/p.xml"
        debtor = "--debtor-name Coop --debtor-iban NL91ABNA0417164300"
        exported = vpp(f"payout export {payout_id} {files} {debtor}")
        assert "1 transfers were written" in exported.output, exported.exception
        assert "0.09" in (tmp_path / "p.csv").read_text()
        late = row(site_id=GRACE, start_ms=OCTOBER_MS + 9 * INTERVAL_MS, kind="event")
        write_entries(ready, (4, [late | {"debit": OPERATOR}]))
        wait_until(lambda: balance(f"site:{GRACE}") == 1_501_000)
    checked = vpp("ledger check")
    assert "is in order" in checked.output, checked.output
    built_again = vpp("ledger rebuild")
    assert "the ledger is the same as before" in built_again.output, built_again.exception
    assert balance(f"site:{GRACE}") == 1_501_000
    assert "2024-10  closed by ada" in vpp("ledger periods").output
    assert "0.003750 EUR" in vpp(f"ledger balance --site {ADA}").output
    assert "2024-10-01  share" in vpp("ledger balance --region north").output
    assert (
        f"{payout_id}  1 sites, 0.09 EUR, proposed by ada, approved by grace"
        in vpp("payout list").output
    )


def test_check_fails_and_names_a_fault(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_ledger(ready, create=True)
    with engine.begin() as ledger:
        if ledger.dialect.name == "postgresql":
            ledger.execute(sa.text(
                "CREATE TABLE entries_1 PARTITION OF entries FOR VALUES FROM (1) TO (2)"
            ))  # fmt: skip
        ledger.execute(sa.text(
            "INSERT INTO entries (amount_micros, coverage, group_id, day) VALUES (1, 1, 7, 1)"
        ))  # fmt: skip
    engine.dispose()
    for name, value in environment(ready).items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(build_app(), ["ledger", "check"])
    assert "NOT IN ORDER: 1 entries belong to group 7" in result.output
    assert isinstance(result.exception, VppError)
    assert result.exception.exit_code == 5


async def settle_once(settings: Settings, *, published: int) -> None:
    """Settle the one interval that is due, in a process of its own."""
    health = HealthReporter("settlement")
    ahead_ms = [0]
    async with connected(KafkaClients(settings), health) as kafka:
        past = PastDays(settings.history_dir, 0)
        settling = Settling(
            kafka, health, ZoneInfo("UTC"), past, lambda: clock.now_ms() + ahead_ms[0]
        )
        running = asyncio.create_task(settling.run())
        await until(lambda: settling.settler.due == 2)  # the interval, and the event that it is
        ahead_ms[0] = LATEST_MS
        await until(lambda: settling.settler.due == 0)
        await until(lambda: health.counters["intervals_settled"] == published)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_interval_is_settled_from_what_is_in_kafka(
    topics_ready: Settings, tmp_path: Path
) -> None:
    """Its entries are published once, also by a second process after it."""
    start_ms = clock.now_ms() // 60_000 * 60_000 - 3_600_000
    sold = award(start_ms)
    await sold_and_delivered(topics_ready, sold)
    name = topics.SETTLEMENT_ENTRIES.full(topics_ready.namespace)
    await settle_once(topics_ready, published=1)
    first = await read_all(topics_ready, name)
    await settle_once(topics_ready, published=0)
    assert len(await read_all(topics_ready, name)) == len(first)
    rows = [entry for record in first for entry in decode_entries(record.value).to_pylist()]
    assert {(e["kind"], e["site_id"], e["amount_micros"]) for e in rows} == {
        ("market", "", 50_000),
        ("operator", "", 20_000),
        ("share", "home-1", 30_000),
    }
