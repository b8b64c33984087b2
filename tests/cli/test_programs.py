"""``vpp programs``: what a file promises and nobody pays yet is said before it is written."""

import pytest
from typer.testing import CliRunner

from schemas.programs import Program
from tests.support.settle_world import SHARE_60, terms
from vpp_streams.cli import build_app


@pytest.mark.parametrize("command", ["check", "apply"])
def test_terms_that_are_not_paid_yet_are_said(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    records = [SHARE_60, terms(program_id="by-rate", per_kwh_micros=1, per_event_micros=1)]
    written: list[Program] = []

    async def read(*_: object) -> list[Program]:
        return records

    async def write(_: object, these: list[Program]) -> None:
        written.extend(these)

    monkeypatch.setattr("vpp_streams.local.program_import.records_of_file", read)
    monkeypatch.setattr("vpp_streams.local.program_import.write_records", write)
    outcome = CliRunner().invoke(build_app(), ["programs", command, "terms.toml"])
    assert outcome.exit_code == 0
    assert outcome.stderr.splitlines() == [
        "warning: program by-rate: not paid yet: payment per kWh; payment per event"
    ]
    assert "2 programs" in outcome.stdout
    assert written == (records if command == "apply" else [])
