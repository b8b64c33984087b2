"""A database that cannot be used is one line with the way out, and no password is in it."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from vpp_streams.errors import LedgerError, SettingsError, VppError
from vpp_streams.settings import Settings
from vpp_streams.settlement.database import drop_tables, ledger_url, open_ledger, plain_errors

SECRET = "s3cret/word"


def with_url(url: str, tmp_path: Path, namespace: str = "") -> Settings:
    values = {"ledger": url, "state_dir": tmp_path, "namespace": namespace}
    return Settings.model_validate(values)


def refusal(settings: Settings, *, create: bool = True) -> str:
    with pytest.raises(VppError) as refused:
        open_ledger(settings, create=create)
    said = str(refused.value)
    assert "\n" not in said
    assert SECRET not in said
    assert "s3cret" not in said
    return said


@pytest.mark.parametrize(
    "url",
    ["not a url", "mysql://a:s3cret@db/x", "sqlite://", "postgresql//x:s3cret", "", "sqlite:///:memory:"],
)  # fmt: skip
def test_a_url_that_is_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="postgresql://USER:PASSWORD") as refused:
        ledger_url(with_url(url, tmp_path))
    assert "s3cret" not in str(refused.value)


def test_without_a_url_it_is_a_file_of_the_namespace_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", namespace="demo")
    open_ledger(settings, create=True).dispose()
    assert (tmp_path / "state" / "ledger-demo.sqlite").exists()
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def test_no_server(tmp_path: Path) -> None:
    said = refusal(with_url("postgresql://vpp:s3cret@127.0.0.1:1/ledger", tmp_path))
    assert "start the server" in said
    assert "127.0.0.1:1" in said


def test_a_wrong_password(postgres: str, tmp_path: Path) -> None:
    """A user that the server does not have is refused as one with a wrong password is."""
    said = refusal(with_url(postgres.replace("vpp@", "nobody:s3cret@"), tmp_path))
    assert "nobody" in said
    assert "VPP_LEDGER" in said


def test_a_database_that_does_not_exist(postgres: str, tmp_path: Path) -> None:
    said = refusal(with_url(postgres.replace("/postgres?", "/nowhere?"), tmp_path))
    assert '"nowhere" does not exist; create it' in said


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("this is a letter to my aunt, and not a database at all")
    said = refusal(with_url(f"sqlite:///{tmp_path}/x", tmp_path))
    assert "not a database" in said


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    said = refusal(with_url(f"sqlite:///{tmp_path}/missing/x", tmp_path))
    assert "check VPP_LEDGER" in said


def test_a_command_that_only_reads_creates_nothing(ledger_settings: Settings) -> None:
    assert "`vpp settlement run` builds it" in refusal(ledger_settings, create=False)
    engine = open_ledger(ledger_settings, create=True)
    engine.dispose()
    open_ledger(ledger_settings).dispose()


@pytest.mark.parametrize(("version", "words"), [(0, "an older"), (99, "a newer")])
def test_a_ledger_of_another_version_is_built_again(
    ledger_settings: Settings, version: int, words: str
) -> None:
    engine = open_ledger(ledger_settings, create=True)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE ledger SET schema_version = {version}"))
    said = refusal(ledger_settings)
    assert words in said
    assert "vpp ledger rebuild" in said
    drop_tables(ledger_settings)
    open_ledger(ledger_settings, create=True).dispose()
    engine.dispose()


def test_a_ledger_of_another_namespace_is_not_mixed_with_this_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/one.sqlite"
    open_ledger(with_url(url, tmp_path, "a"), create=True).dispose()
    said = refusal(with_url(url, tmp_path, "b"))
    assert "a.settlement.entries, not b.settlement.entries" in said


def test_a_file_that_another_process_writes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vpp_streams.settlement.database.CONNECT_S", 0.1)
    settings = with_url(f"sqlite:///{tmp_path}/one.sqlite", tmp_path)
    writer = sqlite3.connect(tmp_path / "one.sqlite", isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("BEGIN IMMEDIATE")
    assert "only one may book" in refusal(settings)
    writer.close()
    open_ledger(settings, create=True).dispose()


def test_errors_are_of_the_kind_that_the_command_line_prints() -> None:
    assert issubclass(LedgerError, VppError)
    assert LedgerError.exit_code == 5


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n"


def test_a_reader_changes_nothing_and_ends_at_its_time_limit(ledger_settings: Settings) -> None:
    open_ledger(ledger_settings, create=True).dispose()
    reader = open_ledger(ledger_settings, reads_for_s=1)
    with (
        pytest.raises(LedgerError, match=r"read-?only|readonly"),
        plain_errors(reader),
        reader.begin() as ledger,
    ):
        ledger.execute(sa.text("DELETE FROM periods"))
    with (
        pytest.raises(LedgerError, match="it took too long"),
        plain_errors(reader),
        reader.connect() as ledger,
    ):
        ledger.execute(sa.text(ENDLESS))
    with plain_errors(reader), reader.connect() as ledger:
        assert ledger.scalar(sa.text("SELECT 1")) == 1, "it goes on after that"
    reader.dispose()


def test_a_reader_creates_no_file(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "nowhere")
    with pytest.raises(LedgerError):
        open_ledger(settings, reads_for_s=1)
    assert not (tmp_path / "nowhere").exists()
