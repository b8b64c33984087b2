"""``vpp assets import``: what it says and asks before it writes anything."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from schemas.assets import Site
from vpp_streams.cli import build_app
from vpp_streams.cli.screens import import_question
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import InputError
from vpp_streams.local import site_import

KNOWN = Site("a", "north")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Site]:
    """The records that the command wrote to a registry with one site, without Kafka."""
    records: list[Site] = []

    async def read(_settings: object) -> Registry:
        return Registry([KNOWN])

    async def write(_clients: object, _topic: object, sites: Iterable[Site]) -> None:
        records.extend(sites)

    monkeypatch.setattr(site_import, "read_registry", read)
    monkeypatch.setattr(site_import, "write_many", write)
    return records


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    class System:
        stdin = Terminal()

    monkeypatch.setattr(import_question, "sys", System)


def run(tmp_path: Path, line: str, *options: Any, answer: str = "") -> Result:
    path = tmp_path / "assets.yaml"
    path.write_text(f"sites:\n  - {line}\n")
    return CliRunner().invoke(build_app(), ["assets", "import", str(path), *options], input=answer)


NEW_REGION = "{site_id: b, region: nroth}"
REMOVED = "{site_id: a, region: north, removed: true}"


@pytest.mark.parametrize(
    ("line", "says"),
    [(NEW_REGION, "creates 1 region: nroth"), (REMOVED, "retires 1 site: a;")],
)
def test_without_a_terminal_it_needs_yes(
    tmp_path: Path, written: list[Site], line: str, says: str
) -> None:
    result = run(tmp_path, line)
    assert isinstance(result.exception, InputError), result.output
    assert says in str(result.exception)
    assert "--yes" in str(result.exception)
    assert written == []
    assert run(tmp_path, line, "--yes").exit_code == 0
    assert len(written) == 1


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_it_asks(tmp_path: Path, written: list[Site]) -> None:
    refused = run(tmp_path, REMOVED, answer="n\n")
    assert "This import retires 1 site: a" in refused.output
    assert isinstance(refused.exception, InputError)
    assert written == []
    agreed = run(tmp_path, REMOVED, answer="y\n")
    assert agreed.exit_code == 0, agreed.output
    (record,) = written
    (change,) = record.history
    assert (change.state, change.reason) == ("retired", "imported")
    assert change.since_ms > 1_700_000_000_000
    assert replace(record, history=()) == KNOWN


def test_a_site_in_a_known_region_is_added_unasked(tmp_path: Path, written: list[Site]) -> None:
    result = run(tmp_path, "{site_id: b, region: north}")
    assert result.exit_code == 0, result.output
    assert "1 sites new, 0 changed, 0 unchanged, 0 retired" in result.output
    assert written == [Site("b", "north")]


def state(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["assets", "state", *arguments])


def test_a_change_of_state_is_written_with_its_reason(written: list[Site]) -> None:
    result = state("a", "suspended", "--reason", "meter exchanged")
    assert result.output == "a was active and is suspended\n"
    (record,) = written
    assert [(c.state, c.reason) for c in record.history] == [("suspended", "meter exchanged")]
    assert replace(record, history=()) == KNOWN


def test_a_site_that_is_in_a_state_already_is_not_written_again(written: list[Site]) -> None:
    assert state("a", "active").output == "a is active\n"
    assert written == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a", "planned"), "a: a site that is active cannot become planned, only suspended or"),
        (("b", "active"), "no site 'b' in the registry; see `vpp assets list`"),
        (("a", "suspended", "--reason", "two\nlines"), "one line of at most 200 characters"),
    ],
)
def test_a_refused_change_is_one_line(
    written: list[Site], arguments: tuple[str, ...], says: str
) -> None:
    error = state(*arguments).exception
    assert isinstance(error, InputError)
    assert says in str(error)
    assert "\n" not in str(error)
    assert written == []
