"""Earnings by site equal the statements, on each database, and say whether they are final."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.support.statement_world import FIRST, SECOND, SITES, ZONE, StatementWorld, local_ms
from vpp_streams.cli import build_app
from vpp_streams.domain.history.periods import Group
from vpp_streams.domain.history.reports import EACH, Question
from vpp_streams.errors import InputError
from vpp_streams.settings import Settings
from vpp_streams.statements.earnings import LedgerEarnings
from vpp_streams.statements.reading import LedgerReader

BERLIN = ZoneInfo(ZONE)
FROM, TO = "2025-09-01 00:00", "2025-12-01 00:00"


@pytest.fixture
def reader(ledger_settings: Settings) -> LedgerReader:
    settings = ledger_settings.model_copy(update={"ledger_zone": ZONE})
    world = StatementWorld(settings)
    world.close_and_correct()
    world.pay(SITES[0], 960, "2025-11-03 10:00")
    world.engine.dispose()
    return LedgerReader(settings)


def asked(reader: LedgerReader, site: str, group: Group, **changes: Any) -> pd.DataFrame:
    question = Question(
        report="earnings",
        from_ms=local_ms(FROM),
        to_ms=local_ms(TO),
        group=group,
        zone=BERLIN,
        site=site,
        region=changes.get("region"),
    )
    return LedgerEarnings(reader, site).answer(question).rows.to_pandas()


def test_months_are_what_the_statements_say(reader: LedgerReader) -> None:
    """Corrections, late corrections of closed months, and without the payout."""
    found = asked(reader, EACH, "month").set_index(["site_id", "start"])
    for site_id in SITES:
        for month in ("2025-09", "2025-10", "2025-11"):
            told = reader.statement(site_id, month, [FIRST, SECOND])
            [row] = found.loc[[site_id]].filter(like=month, axis=0).to_dict("records")
            assert round(row["money"] * 1e6) == told.total.micros
            assert 0 <= row["coverage"] <= 1
            assert row["final"] == (told.state == "closed")


def test_days_add_up_to_the_months_and_each_site_to_all(reader: LedgerReader) -> None:
    days, total = asked(reader, EACH, "day"), asked(reader, EACH, "total")
    sums = days.groupby("site_id")[["money", "delivered_wh", "intervals"]].sum()
    alone = pd.concat([asked(reader, site_id, "total") for site_id in SITES])
    for name in ("money", "delivered_wh", "intervals"):
        expected = total.set_index("site_id")[name].fillna(0)
        assert sums[name].to_dict() == pytest.approx(expected.to_dict())
        own = alone.set_index("site_id")[name].fillna(0)
        assert own.to_dict() == pytest.approx(expected.to_dict())
    never = total.set_index("site_id").loc[SITES[2]]
    assert never["coverage"] == 0
    assert pd.isna(never["delivered_wh"]), "what was not measured is not 0"
    assert total.set_index("site_id")["coverage"][SITES[0]] > 0.5
    assert asked(reader, EACH, "total", region="south").empty


def test_a_site_without_entries_has_rows_without_figures(reader: LedgerReader) -> None:
    [row] = asked(reader, "nobody", "total").to_dict("records")
    assert (row["site_id"], row["intervals"]) == ("nobody", 0)
    assert pd.isna(row["money"])
    assert not row["final"]
    with pytest.raises(InputError, match="choose a longer group"):
        asked(reader, EACH, "interval")


def test_the_command_needs_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_dir=tmp_path, ledger_zone=ZONE)
    StatementWorld(settings).engine.dispose()
    monkeypatch.setenv("VPP_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("VPP_LEDGER_ZONE", ZONE)
    words = ["report", "earnings", "--site", SITES[0], "--group", "total", "--to", "2025-12-01"]
    done = CliRunner().invoke(build_app(), [*words, "--format", "json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["rows"][0]["start"].startswith("2025-09-30"), "it begins with the first entry"
    assert told["rows"][0]["money"] > 0
    monkeypatch.setenv("VPP_STATE_DIR", str(tmp_path / "empty"))
    done = CliRunner().invoke(build_app(), words)
    assert done.exit_code != 0
    assert "vpp settlement run" in str(done.exception)
