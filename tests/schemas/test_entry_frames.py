"""A record of entries is checked before anybody books it."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.entry_frames import decode_entries, encode_entries
from schemas.settlement import MAX_MICROS, SETTLEMENT_ENTRY_V1, entry_id
from tests.support.paths import GOLDEN

RECORD = (GOLDEN / "settlement_entry.v1.1.arrow").read_bytes()


def rows() -> list[dict[str, Any]]:
    return decode_entries(RECORD).to_pylist()


def encoded(changes: Mapping[str, Any], schema: pa.Schema = SETTLEMENT_ENTRY_V1) -> bytes:
    """The golden record with changes to its second row."""
    market, share, reversal = rows()
    return encode_entries(pa.RecordBatch.from_pylist([market, share | changes, reversal], schema))


def test_the_golden_record_decodes() -> None:
    market, share, reversal = rows()
    assert (market["debit"], market["credit"]) == ("market:sim", "revenue:sim:north")
    assert (share["site_id"], share["credit"], share["amount_micros"]) == (
        "home-417",
        "site:home-417",
        14_204,
    )
    assert reversal["reverses"]
    assert reversal["debit"] == "site:home-418"
    assert math.isnan(reversal["delivered_wh"])


def test_the_same_rows_give_the_same_bytes() -> None:
    assert encode_entries(decode_entries(RECORD)) == RECORD


def test_an_entry_and_its_reversal_have_names_of_their_own() -> None:
    names = [entry_id(row) for row in rows()]
    assert names == [
        "market|north|sim|1763856000000||0",
        "share|home-417|sim|1763856000000|share-60|0",
        "share|home-418|sim|1763856000000|share-60|0|reversed",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_micros": -1},
        {"amount_micros": MAX_MICROS + 1},
        {"credit": "revenue:sim:north"},
        {"credit": ""},
        {"credit": "a b"},
        {"site_id": "x" * 201},
        {"kind": "gift"},
        {"currency": "EURO"},
        {"period": "2025-13"},
        {"region": "south"},
        {"coverage": 1.1},
        {"coverage": math.nan},
        {"share": -0.1},
        {"delivered_wh": math.inf},
        {"revision": -1},
        {"interval_ms": 0},
    ],
    ids=str,
)
def test_what_is_no_entry_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^no entries of settlement_entry\.v1"):
        decode_entries(encoded(changes))


def test_a_record_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        decode_entries(encode_entries(pa.RecordBatch.from_pylist([], SETTLEMENT_ENTRY_V1)))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(at=st.integers(0, len(RECORD) - 1), bit=st.integers(0, 7), cut=st.booleans())
def test_whatever_the_bytes_are_they_are_entries_or_a_value_error(
    at: int, bit: int, cut: bool
) -> None:
    data = RECORD[:at] if cut else RECORD[:at] + bytes([RECORD[at] ^ 1 << bit]) + RECORD[at + 1 :]
    with suppress(ValueError):
        assert decode_entries(data).num_rows >= 1
