"""Payouts: proposed, approved by a second person, booked once, and written for the bank."""

import csv
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.ledger import PayoutApproved, PayoutProposed, PeriodClosed
from schemas.settlement import BANK
from tests.support.ledger_world import OCTOBER_MS, LedgerWorld, home_of
from vpp_streams.domain.ledger.payouts import Payee, parts_of, payees_digest
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import InputError, LedgerError, RefusedError
from vpp_streams.settings import Settings
from vpp_streams.settlement.checks import faults
from vpp_streams.settlement.export import PayoutFiles, export_payout
from vpp_streams.settlement.payees import read_payees
from vpp_streams.settlement.payout_entries import payout_records
from vpp_streams.settlement.queries import balances

ADA, GRACE = home_of(3), home_of(4)
PAYEES = {
    ADA: Payee(ADA, "Ada Lovelace", "DE89370400440532013000"),
    GRACE: Payee(GRACE, "Grace Hopper", "FR1420041010050500013M02606"),
}
NOVEMBER_MS = OCTOBER_MS + 33 * DAY_MS
AMOUNTS = {ADA: 12, GRACE: 300}
"""Cents, of balances of 0.125 and 3.009999 EUR."""


@pytest.fixture
def world(ledger_settings: Settings) -> LedgerWorld:
    world = LedgerWorld(ledger_settings)
    world.book_interval(OCTOBER_MS, {ADA: 125_000, GRACE: 3_009_999})
    world.decide(PeriodClosed(period="2024-10", by="ada", at_ms=NOVEMBER_MS, through=world.through))
    return world


def proposal(payout_id: str = "p1", **changes: object) -> PayoutProposed:
    made = {
        "payout_id": payout_id, "period": "2024-10", "currency": "EUR", "by": "ada",
        "at_ms": NOVEMBER_MS, "parts": 1, "sites": 2, "total_minor": 312,
        "payees_sha256": payees_digest(PAYEES.values()),
    }  # fmt: skip
    return PayoutProposed(**{**made, **changes})  # type: ignore[arg-type]  # checked by the struct


def propose(world: LedgerWorld, payout_id: str = "p1", **changes: object) -> None:
    for part in parts_of(payout_id, AMOUNTS, dict.fromkeys(AMOUNTS, "north")):
        world.decide(part)
    world.decide(proposal(payout_id, **changes))


def approve(world: LedgerWorld, by: str, payout_id: str = "p1") -> None:
    world.decide(PayoutApproved(payout_id=payout_id, by=by, at_ms=NOVEMBER_MS + 1))


def send_payouts(world: LedgerWorld) -> int:
    """Book the entries that the role would send; returns the number of records."""
    with world.connect() as ledger:
        records = payout_records(ledger, ())
    for record in records:
        world.book(record.partition, record.batch.to_pylist())
    return len(records)


def test_an_approved_payout_leaves_the_rest_of_a_cent_on_the_account(world: LedgerWorld) -> None:
    propose(world)
    approve(world, "grace")
    assert send_payouts(world) == 2
    with world.connect() as ledger:
        assert balances(ledger, f"site:{ADA}") == {"EUR": 5_000}
        assert balances(ledger, f"site:{GRACE}") == {"EUR": 9_999}
        assert balances(ledger, BANK) == {"EUR": 3_120_000}
        assert list(faults(ledger)) == []
    assert send_payouts(world) == 0


def test_the_person_who_proposed_it_cannot_approve_it(world: LedgerWorld) -> None:
    propose(world)
    with pytest.raises(RefusedError, match="second person"):
        approve(world, "ada")
    assert send_payouts(world) == 0


def test_a_month_is_paid_once(world: LedgerWorld) -> None:
    propose(world)
    propose(world, "p2")
    approve(world, "grace")
    with pytest.raises(RefusedError, match="p1 has paid 2024-10"):
        approve(world, "grace", "p2")


def test_nobody_is_paid_more_than_the_closed_month_owed(world: LedgerWorld) -> None:
    for part in parts_of("p1", {ADA: 13}, {ADA: "north"}):
        world.decide(part)
    world.decide(proposal(sites=1, total_minor=13))
    with pytest.raises(RefusedError, match="is owed 12"):
        approve(world, "grace")


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"total_minor": 311}, "312"), ({"sites": 3}, "not 1, 3"), ({"parts": 2}, "not 2")],
)
def test_a_proposal_whose_lines_are_not_complete(
    world: LedgerWorld, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        propose(world, **changes)


def test_nothing_is_added_after_the_proposal(world: LedgerWorld) -> None:
    propose(world)
    (part,) = parts_of("p1", {home_of(5): 9}, {home_of(5): "north"})
    with pytest.raises(RefusedError, match="nothing can be added"):
        world.decide(part)


def test_a_site_is_in_a_payout_once(world: LedgerWorld) -> None:
    (part,) = parts_of("p1", {ADA: 9}, {ADA: "north"})
    world.decide(part)
    with pytest.raises(RefusedError, match="twice"):
        world.decide(part)


def test_a_payout_that_nobody_proposed_cannot_be_approved(world: LedgerWorld) -> None:
    with pytest.raises(RefusedError, match="no payout p1"):
        approve(world, "grace")


def test_a_debit_that_nobody_approved_is_found(world: LedgerWorld) -> None:
    propose(world)
    approve(world, "grace")
    with world.connect() as ledger:
        (record,) = [r for r in payout_records(ledger, ()) if r.partition == 3]
    (entry,) = record.batch.to_pylist()
    world.book(3, [entry | {"amount_micros": 130_000}])
    with world.connect() as ledger:
        found = sorted(faults(ledger))
    assert "was debited 130000 micros of EUR, approved are 120000" in found[0]
    assert "debited 0" in found[1]  # the other site's is not booked


def test_a_part_of_a_payout_that_was_sent_before_is_passed(world: LedgerWorld) -> None:
    """A role that was killed between two records sends both again."""
    propose(world)
    approve(world, "grace")
    with world.connect() as ledger:
        records = payout_records(ledger, ())
    world.book(records[0].partition, records[0].batch.to_pylist())
    assert send_payouts(world) == 2
    assert world.books.repeated == 1
    with world.connect() as ledger:
        assert list(faults(ledger)) == []


def files(tmp_path: Path) -> PayoutFiles:
    return PayoutFiles(
        xml=tmp_path / "p.xml", csv=tmp_path / "p.csv", debtor_name="Köln Power",
        debtor_iban="NL91ABNA0417164300", execute_on=date(2024, 11, 5),
    )  # fmt: skip


def test_an_approved_payout_is_written_for_the_bank(world: LedgerWorld, tmp_path: Path) -> None:
    propose(world)
    with pytest.raises(LedgerError, match="waits for a second person"):
        export_payout(world.engine, "p1", PAYEES, files(tmp_path))
    approve(world, "grace")
    assert export_payout(world.engine, "p1", PAYEES, files(tmp_path)) == 2
    xml = (tmp_path / "p.xml").read_bytes()
    assert b"<Nm>Koln Power</Nm>" in xml
    assert export_payout(world.engine, "p1", PAYEES, files(tmp_path)) == 2
    assert (tmp_path / "p.xml").read_bytes() == xml
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert {r["site_id"]: (r["amount"], r["iban"]) for r in rows} == {
        ADA: ("0.12", PAYEES[ADA].iban),
        GRACE: ("3.00", PAYEES[GRACE].iban),
    }
    assert (tmp_path / "p.xml").stat().st_mode & 0o077 == 0


def test_other_bank_accounts_than_the_approved_ones_are_refused(
    world: LedgerWorld, tmp_path: Path
) -> None:
    propose(world)
    approve(world, "grace")
    other = PAYEES | {ADA: Payee(ADA, "Eve", "NL91ABNA0417164300")}
    with pytest.raises(InputError, match="not those that were approved"):
        export_payout(world.engine, "p1", other, files(tmp_path))
    with pytest.raises(InputError, match=f"{GRACE} is missing"):
        export_payout(world.engine, "p1", {ADA: PAYEES[ADA]}, files(tmp_path))
    assert not (tmp_path / "p.xml").exists()


def payees_file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "payees.csv"
    path.write_text("\n".join(["site_id,name,iban", *lines]) + "\n", encoding="utf-8")
    return path


def test_bank_accounts_are_read_and_names_written_as_banks_accept_them(tmp_path: Path) -> None:
    path = payees_file(tmp_path, "home-1,Zoë Müller,DE89 3704 0044 0532 0130 00")
    assert read_payees(path) == {"home-1": Payee("home-1", "Zoe Muller", "DE89370400440532013000")}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["home-1,Ada,DE89370400440532013001"], "line 2: 'DE89370400440532013001' is no IBAN"),
        (["home-1,,DE89370400440532013000"], "line 2: it has no site_id or no name"),
        (["h,A,DE89370400440532013000"] * 2, "line 3: h is there twice"),
    ],
)
def test_each_wrong_line_is_named(tmp_path: Path, lines: list[str], why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_payees(payees_file(tmp_path, *lines))


def test_a_file_without_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("site,name\n")
    with pytest.raises(InputError, match="no column iban, site_id"):
        read_payees(path)


def test_lines_that_are_refused_leave_nothing_behind(world: LedgerWorld) -> None:
    with pytest.raises(RefusedError):
        propose(world, total_minor=1)
    with world.connect() as ledger:
        assert ledger.scalar(sa.text("SELECT count(*) FROM payouts")) == 0
