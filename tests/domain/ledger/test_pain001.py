"""The bank's file: valid by its schema, the same each time, and with the exact sums."""

from datetime import UTC, date, datetime
from xml.etree import ElementTree as ET

import pytest
from sepaxml.validation import ValidationError, try_valid_xml

from vpp_streams.domain.ledger.pain001 import (
    MAX_ID,
    SCHEMA,
    Transfer,
    TransferFile,
    amount_text,
    end_to_end_id,
    pain001,
)
from vpp_streams.domain.ledger.payouts import Payee

FILE = TransferFile(
    payout_id="payout-2026-10-EUR-1793600100",
    debtor_name="Power Cooperative",
    debtor_iban="DE89370400440532013000",
    currency="EUR",
    decimals=2,
    created=datetime(2026, 11, 3, 12, 0, tzinfo=UTC),
    execute_on=date(2026, 11, 4),
    remittance="Virtual power plant 2026-10",
)
TRANSFERS = [
    Transfer(Payee("home-1", "Ada Lovelace", "FR1420041010050500013M02606"), 1_234),
    Transfer(Payee("home_2", "Grace & Sons <GmbH>", "NL91ABNA0417164300"), 5),
]
NAMES = {"p": f"urn:iso:std:iso:20022:tech:xsd:{SCHEMA}"}


def test_the_schema_accepts_the_file() -> None:
    try_valid_xml(pain001(FILE, TRANSFERS), SCHEMA)


def test_the_schema_finds_an_amount_that_is_none() -> None:
    broken = pain001(FILE, TRANSFERS).replace(b">12.34<", b">12,34<")
    with pytest.raises(ValidationError):
        try_valid_xml(broken, SCHEMA)


def test_sums_counts_and_accounts_are_those_of_the_payout() -> None:
    root = ET.fromstring(pain001(FILE, TRANSFERS))
    assert [e.text for e in root.iterfind(".//p:CtrlSum", NAMES)] == ["12.39", "12.39"]
    assert [e.text for e in root.iterfind(".//p:NbOfTxs", NAMES)] == ["2", "2"]
    assert [e.text for e in root.iterfind(".//p:InstdAmt", NAMES)] == ["12.34", "0.05"]
    creditors = root.iterfind(".//p:CdtrAcct/p:Id/p:IBAN", NAMES)
    assert [e.text for e in creditors] == [t.payee.iban for t in TRANSFERS]


def test_a_file_is_the_same_each_time() -> None:
    assert pain001(FILE, TRANSFERS) == pain001(FILE, TRANSFERS)


def test_an_id_that_a_bank_would_refuse_becomes_a_digest() -> None:
    assert end_to_end_id("home-1") == "home-1"
    for site_id in ("home_2", "x" * 36):
        found = end_to_end_id(site_id)
        assert found != site_id
        assert len(found) <= MAX_ID
        assert found.isalnum()


@pytest.mark.parametrize(
    ("minor", "decimals", "text"), [(1234, 2, "12.34"), (-5, 2, "-0.05"), (7, 0, "7")]
)
def test_amounts_are_exact(minor: int, decimals: int, text: str) -> None:
    assert amount_text(minor, decimals) == text
