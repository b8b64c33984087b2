"""One-time codes: how they are written, and which key a code is spent on."""

import re
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.identity import EnrolmentCode, Redemption
from vpp_streams.domain.identity.codes import (
    ALPHABET,
    CODE_LENGTH,
    Codes,
    code_of,
    digest_of,
    make_code,
)
from vpp_streams.domain.identity.refusals import Subject
from vpp_streams.kafka import topics

PW_1 = Subject("pw-1", "home-1")
A, B = "a" * 64, "b" * 64


@given(st.binary(min_size=CODE_LENGTH, max_size=CODE_LENGTH))
def test_a_code_is_four_groups_that_are_read_however_they_are_typed(chance: bytes) -> None:
    code = code_of(chance)
    assert re.fullmatch(f"([{ALPHABET}]{{5}}-){{3}}[{ALPHABET}]{{5}}", code)
    plain = code.replace("-", "")
    for typed in (code.lower(), plain, plain.replace("0", "O").replace("1", "l"), f" {code} "):
        assert digest_of(typed) == digest_of(code)
    assert digest_of(code[:-1]) != digest_of(code)


def test_every_random_byte_changes_the_code() -> None:
    zero = bytes(CODE_LENGTH)
    codes = {code_of(zero[:i] + b"\x01" + zero[i + 1 :]) for i in range(CODE_LENGTH)}
    assert len(codes) == CODE_LENGTH
    assert len({code_of(bytes([i]) * CODE_LENGTH) for i in range(256)}) == len(ALPHABET) == 32


def test_a_record_holds_no_code() -> None:
    made = make_code(PW_1, bytes(range(CODE_LENGTH)), now_ms=1000, life_ms=500)
    assert (made.record.made_at_ms, made.record.expires_at_ms) == (1000, 1500)
    assert made.record.code_sha256 == digest_of(made.text)
    assert made.text not in repr(made.record)


def attempt(name: str, key: str) -> Redemption:
    return Redemption(code_sha256="c" * 64, attempt=name, key_sha256=key, at_ms=1)


def after_compaction(records: list[Redemption]) -> list[Redemption]:
    """What a compacted topic keeps: the last record of each key, in order."""
    assert topics.IDENTITY_CODES.key is not None
    key = topics.IDENTITY_CODES.key.of
    last = {key(record): number for number, record in enumerate(records)}
    return [record for number, record in enumerate(records) if last[key(record)] == number]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_first_attempt_counts_also_after_compaction(order: tuple[int, ...]) -> None:
    attempts = [attempt("1", A), attempt("2", B), attempt("3", A), attempt("4", B)]
    records = [attempts[i] for i in order]
    for kept in (records, after_compaction(records)):
        codes = Codes()
        for record in kept:
            codes.apply(record)
        assert codes.spent_on("c" * 64) == records[0].key_sha256


def test_a_code_that_is_written_again_stays_what_it_was() -> None:
    codes = Codes()
    first = EnrolmentCode(
        code_sha256=A, device_id="pw-1", site_id="home-1", made_at_ms=1, expires_at_ms=9
    )
    codes.apply(first)
    codes.apply(
        EnrolmentCode(
            code_sha256=A, device_id="pw-2", site_id="home-2", made_at_ms=2, expires_at_ms=99
        )
    )
    assert codes.code(A) == first
    assert codes.code(B) is None
    assert len(codes) == 1
