"""Operators: whose token it is, what each may, and files that only their owner reads."""

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.support.accounts_world import CHEAP
from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts, accounts_file
from vpp_streams.accounts.secrets import digest_of
from vpp_streams.cli import build_app
from vpp_streams.domain.access.rights import ORDERS, READS, Role, grant_of
from vpp_streams.errors import SettingsError
from vpp_streams.local import demo
from vpp_streams.serving.operators import (
    Access,
    Operator,
    holder_of,
    lines_for,
    make_demo_operator,
    new_token,
    principal_of,
    read_access,
    read_operators,
)
from vpp_streams.settings import Settings


def operator(name: str = "alice", token: str = "t", **changes: Any) -> Operator:
    told = {"regions": ("north",), "may": ("dispatch",), **changes}
    return Operator(name=name, token_sha256=digest_of(token), **told)


def test_a_token_is_its_holders_and_nobody_elses() -> None:
    alice, bob = operator("alice", "a"), operator("bob", "b")
    assert holder_of("a", [alice, bob], 0) is alice
    assert holder_of("b", [alice, bob], 0) is bob
    for wrong in ("", "c", alice.token_sha256):
        assert holder_of(wrong, [alice, bob], 0) is None


def test_rights_are_by_region_and_the_lack_is_named() -> None:
    alice = principal_of(operator())
    assert alice.denial("dispatch", ["north"]) is None
    assert alice.denial("hold", ["north"]) == "alice does not have the right 'hold'"
    assert "'dispatch' in region 'south'" in (alice.denial("dispatch", ["north", "south"]) or "")
    assert alice.denial("read_region", ["south"]) is not None
    everywhere = principal_of(operator(regions="*", may=ORDERS))
    assert everywhere.denial("storm", ["south"]) is None
    assert all(everywhere.may_everywhere(action) for action in READS)


def test_a_token_with_an_end_is_nobodys_from_then_on(tmp_path: Path) -> None:
    ends_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    path = tmp_path / "operators.toml"
    path.write_text(lines_for(operator(token="a", ends_at=ends_at)))
    end_ms = round(ends_at.timestamp() * 1000)
    assert holder_of("a", read_operators(path), end_ms - 1) is not None
    assert holder_of("a", read_operators(path), end_ms) is None


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,20}", fullmatch=True)
regions = st.just("*") | st.lists(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True), max_size=3
).map(tuple)


@given(names, regions, st.sets(st.sampled_from(ORDERS)).map(tuple))
def test_the_lines_that_are_printed_are_the_operator(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    regions: str | tuple[str, ...],
    may: tuple[str, ...],
) -> None:
    written = operator(name, new_token(), regions=regions, may=may)
    path = tmp_path_factory.mktemp("operators") / "operators.toml"
    path.write_text(lines_for(written) + lines_for(operator("other.one", "o")))
    read = read_operators(path)
    assert read[0] == written


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("operators = 5", "operators"),
        ("[[operators]]\nname = 'a'", "token_sha256"),
        (lines_for(operator()).replace("dispatch", "everything"), "everything"),
        (lines_for(operator()) + "admin = true\n", "admin"),
        (lines_for(operator()) * 2, "same name twice"),
        (lines_for(operator("a")) + lines_for(operator("b")), "same token_sha256 twice"),
        ("[[operators", "cannot be used"),
        (None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_with_the_way_out(
    tmp_path: Path, content: str | None, says: str
) -> None:
    path = tmp_path / "operators.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError) as problem:
        read_operators(path)
    assert says in str(problem.value)
    assert "\n" not in str(problem.value)


def test_the_demo_operator_may_everything_and_its_files_are_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    path, access = make_demo_operator(state, "demo", "http://127.0.0.1:8080")
    [demo] = read_operators(path)
    assert holder_of(access.token, [demo], 0) is demo
    assert principal_of(demo).denial("emergency", ["anywhere"]) is None
    assert access.token not in path.read_text()
    assert read_access(state) == access
    for file in state.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # A second demo makes a new token: the old one is nobody's.
    path, newer = make_demo_operator(state, "demo", "http://127.0.0.1:8081")
    assert holder_of(access.token, read_operators(path), 0) is None
    assert read_access(state) == newer


def test_without_a_demo_there_is_no_access(tmp_path: Path) -> None:
    assert read_access(tmp_path) is None
    (tmp_path / "operator-access.json").write_text("{")
    assert read_access(tmp_path) is None


def test_the_command_prints_a_token_and_lines_that_fit_it(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        build_app(), ["operators", "token", "ann", "--region", "north", "--may", "hold"]
    )
    assert run.exit_code == 0
    token = run.stderr.split("VPP_TOKEN=")[1].split()[0]
    path = tmp_path / "operators.toml"
    path.write_text(run.stdout)
    [ann] = read_operators(path)
    assert holder_of(token, [ann], 0) is ann
    assert (ann.name, ann.regions, ann.may) == ("ann", ("north",), ("hold",))
    listed = CliRunner().invoke(build_app(), ["operators", "list", str(path)])
    assert listed.stdout == "ann: hold in north\n"


def test_a_right_that_does_not_exist_cannot_be_given() -> None:
    run = CliRunner().invoke(build_app(), ["operators", "token", "ann", "--may", "everything"])
    assert "the operator is not valid" in str(run.exception)


def test_up_lets_this_machine_order_for_as_long_as_it_runs(settings: Settings) -> None:
    fleet = demo.DemoFleet(homes=1, solar=0, megapacks=0, seed=1)
    with demo.demo_operator(settings) as (running, token):
        assert running.operators is not None
        assert token is not None
        assert read_access(settings.state_dir) == Access(
            url=demo.web_url(settings), token=token, namespace=settings.namespace
        )
        [web] = [spec for spec in demo.specs(running, fleet) if spec.name == "web"]
        assert web.environment["VPP_OPERATORS"] == str(running.operators)
        with demo.demo_operator(settings.model_copy(update={"namespace": "other"})):
            assert holder_of(token, read_operators(running.operators), 0) is not None
    assert not list(settings.state_dir.iterdir())


def test_where_operators_are_named_up_makes_none(settings: Settings, tmp_path: Path) -> None:
    named = settings.model_copy(update={"operators": tmp_path / "operators.toml"})
    with demo.demo_operator(named) as (running, token):
        assert (running, token) == (named, None)
        assert read_access(settings.state_dir) is None


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_up_signs_its_own_browser_in_once_for_as_long_as_it_runs(
    settings: Settings, role: Role
) -> None:
    now_ms = clock.now_ms()
    with demo.demo_account(settings, role) as keys:
        accounts = Accounts(accounts_file(settings), CHEAP)
        sessions = accounts.sessions
        url, _, word = keys.link.partition("/sign-in.html#link=")
        assert url == demo.web_url(settings)
        reader = sessions.token_holder(keys.reader, now_ms)
        assert reader is not None
        assert reader.actions == ("read_region",)
        found = sessions.link(word, now_ms)
        assert found is not None
        account, purpose = found
        assert (account.name, purpose) == ("demo", "sign_in")
        assert account.grants == (grant_of(role, "*"),)
        opened = sessions.open(account, now_ms, how="link", address="", agent="")
        accounts.people.add("ann", [], at_ms=0)
    assert sessions.token_holder(keys.reader, now_ms) is None
    assert sessions.holder(opened, now_ms) is None
    assert sessions.link(word, now_ms) is None
    assert [a.name for a in accounts.people.all()] == ["ann", "demo"]
    accounts.close()
