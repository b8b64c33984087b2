"""``vpp accounts``: what is printed, what is stored, and mistakes in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.accounts_world import PASSWORD
from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts
from vpp_streams.cli import build_app

Vpp = Callable[..., Any]


@pytest.fixture
def vpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vpp:
    monkeypatch.setenv("VPP_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("VPP_ACCOUNTS", str(tmp_path / "accounts.db"))
    monkeypatch.setenv("VPP_WEB_URL", "https://vpp.example")
    return lambda *words, **more: CliRunner().invoke(build_app(), ["accounts", *words], **more)


@pytest.fixture
def accounts(vpp: Vpp, tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "accounts.db")


def test_an_account_is_added_with_a_link_and_its_life_is_in_the_audit_trail(
    vpp: Vpp, accounts: Accounts
) -> None:
    run = vpp("add", "ann", "--role", "operator", "--at", "region:north", "--email", "a@x.example")
    assert run.exit_code == 0, run.output
    url, _, word = run.stdout.strip().partition("#link=")
    assert url == "https://vpp.example/sign-in.html"
    found = accounts.sessions.link(word, clock.now_ms())
    assert found is not None
    assert (found[0].name, found[1]) == ("ann", "password")
    assert (
        "ann is viewer of site:home-1" in vpp("role", "ann", "viewer", "--at", "site:home-1").stdout
    )
    assert "no longer" in vpp("role", "ann", "viewer", "--at", "site:home-1", "--take").stdout
    assert vpp("list").stdout == "ann <a@x.example>: operator of region:north\n"
    assert "ann is disabled" in vpp("disable", "ann").stdout
    assert vpp("list").stdout.endswith(", disabled\n")
    assert "may sign in again" in vpp("disable", "ann", "--enable").stdout
    told = [(event.action, event.target) for event in accounts.audit.waiting()]
    words = ["account_add", "role_given", "role_taken", "account_disabled", "account_enabled"]
    assert told == [(action, "ann") for action in words]


def test_a_password_is_asked_for_and_is_no_argument(vpp: Vpp, accounts: Accounts) -> None:
    run = vpp("add", "ann", "--prompt", input=f"{PASSWORD}\n{PASSWORD}\n")
    assert run.exit_code == 0, run.output
    assert PASSWORD not in run.stdout
    stored = accounts.people.password(accounts.people.named("ann"))
    assert accounts.passwords.fits(stored, PASSWORD)
    short = vpp("reset", "ann", "--prompt", input="short\nshort\n")
    assert "12 to 256 characters" in str(short.exception)
    assert vpp("add", "bob", PASSWORD).exit_code == 2


def test_a_token_has_an_end_and_its_actions(vpp: Vpp, accounts: Accounts) -> None:
    vpp("add", "ann", "--role", "operator")
    run = vpp("token", "ann", "--may", "read_region", "--may", "hold", "--days", "2")
    holder = accounts.sessions.token_holder(run.stdout.strip().partition("=")[2], clock.now_ms())
    assert holder is not None
    assert holder.actions == ("read_region", "hold")
    assert "command line" in vpp("sessions", "ann").stdout
    word = accounts.sessions.open(
        accounts.people.named("ann"), clock.now_ms(), how="link", address="::1", agent=""
    )
    assert "by link from ::1" in vpp("sessions", "ann").stdout
    assert "1 sessions were ended" in vpp("sessions", "ann", "--end").stdout
    assert accounts.sessions.holder(word, clock.now_ms()) is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "ann b"), "is no name"),
        (("add", "ann", "--role", "emperor"), "there is no role 'emperor'"),
        (("add", "ann", "--role", "owner"), "an owner sees homes"),
        (("add", "ann", "--at", "north"), "is no scope"),
        (("role", "nobody", "viewer"), "there is no account 'nobody'"),
        (("reset", "nobody"), "there is no account 'nobody'"),
        (("log", "--last", "soon"), "not a duration"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    vpp: Vpp, accounts: Accounts, words: tuple[str, ...], says: str
) -> None:
    run = vpp(*words)
    assert says in str(run.exception)
    assert "\n" not in str(run.exception)
    assert accounts.people.all() == []
