"""``vpp programs check`` says what a program pays, before it is written."""

import pytest
from typer.testing import CliRunner

from schemas.programs import Program
from tests.support.settle_world import SHARE_60, terms
from vpp_streams.cli import build_app


def test_what_a_program_pays_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    by_rate = terms(
        program_id="by-rate",
        owner_share=0.0,
        per_kwh_micros=50_000,
        per_event_micros=100_000,
        per_kw_hour_micros=1_200,
        baseline="ten_of_ten",
    )

    async def read(*_: object) -> list[Program]:
        return [SHARE_60, by_rate]

    monkeypatch.setattr("vpp_streams.local.program_import.records_of_file", read)
    outcome = CliRunner().invoke(build_app(), ["programs", "check", "terms.toml"])
    assert outcome.exit_code == 0
    assert outcome.stdout.splitlines() == [
        "terms.toml is in order: 2 programs",
        "program share-60 version 1 pays 60 % of what the home earned in a market",
        "program by-rate version 1 pays 0.05 EUR per kWh delivered in events, 0.1 EUR per event,"
        " 0.0012 EUR per kW and hour of availability, compared with ten similar days without an"
        " event",
    ]
