"""The file of accounts: private, of a known version, and all or nothing."""

import sqlite3
import stat
from pathlib import Path

import pytest

from tests.support.accounts_world import CHEAP, Entrance
from vpp_streams.accounts.accounts import Accounts, accounts_file
from vpp_streams.accounts.store import VERSION, Store
from vpp_streams.errors import InputError, SettingsError
from vpp_streams.settings import Settings


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "accounts.db"
    entrance = Entrance(path=path)
    entrance.add("ann", ("viewer", "*"))
    for file in (path.parent, *path.parent.iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    entrance.accounts.close()


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    path.touch(mode=0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        Store(path)


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(SettingsError, match="use the newer program"):
        Store(path)


@pytest.mark.parametrize("content", [b"no database" * 200, b"\x00" * 5000])
def test_a_file_that_is_no_store_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "accounts.db"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be used") as problem:
        Store(path)
    assert "\n" not in str(problem.value)


def test_a_change_that_fails_half_way_is_not_made(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "accounts.db", CHEAP)

    def add_both() -> None:
        with accounts.store.together():
            accounts.people.add("ann", [], at_ms=0)
            accounts.people.add("ANN", [], at_ms=0)

    with pytest.raises(InputError):
        add_both()
    assert accounts.people.all() == []
    accounts.close()


def test_two_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    web, command = Accounts(path, CHEAP), Accounts(path, CHEAP)
    account = command.people.add("ann", [], at_ms=0)
    word = web.sessions.open(account, 0, how="link", address="", agent="")
    assert web.sessions.holder(word, 1) is not None
    command.people.disable(account, 1)
    assert web.sessions.holder(word, 1) is None
    for one in (web, command):
        one.close()


def test_each_namespace_has_its_own(tmp_path: Path) -> None:
    demo = Settings(state_dir=tmp_path, namespace="demo")
    assert accounts_file(demo) != accounts_file(Settings(state_dir=tmp_path))
    named = demo.model_copy(update={"accounts": tmp_path / "mine.db"})
    assert accounts_file(named) == tmp_path / "mine.db"
