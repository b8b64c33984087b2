"""``vpp statement`` and ``vpp statements``, as a user types them; no Kafka is needed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from tests.support.statement_world import booked
from vpp_streams.cli import build_app
from vpp_streams.errors import VppError

Vpp = Callable[..., Result]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return booked(tmp_path_factory.mktemp("ledger")).state_dir


@pytest.fixture
def vpp(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Vpp:
    for name in [name for name in os.environ if name.startswith("VPP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VPP_STATE_DIR", str(directory))
    monkeypatch.setenv("VPP_LEDGER_ZONE", "Europe/Berlin")
    monkeypatch.setenv("VPP_KAFKA", "127.0.0.1:9")
    return lambda *words: CliRunner().invoke(build_app(), words)


@pytest.mark.usefixtures("vpp")
def test_a_statement_is_printed() -> None:
    command = [sys.executable, "-m", "vpp_streams", "statement", "home-001", "2025-10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "Earned in this month" in done.stdout) == (0, True), done.stderr
    assert "names of programs and costs of storms are left out" in done.stderr


def test_a_statement_is_written_in_each_format(vpp: Vpp, tmp_path: Path) -> None:
    table = vpp("statement", "home-001", "2025-10")
    json = vpp("statement", "home-001", "2025-10", "--format", "json")
    told = msgspec.json.decode(json.stdout)
    assert told["total"]["amount"] in table.stdout
    file = tmp_path / "october.pdf"
    vpp("statement", "home-001", "2025-10", "--format", "pdf", "--out", str(file))
    assert file.read_bytes().startswith(b"%PDF")


def test_each_site_gets_a_file(vpp: Vpp, tmp_path: Path) -> None:
    done = vpp("statements", "2025-10", "--out", str(tmp_path / "all"))
    assert "3 of 3 statements" in done.stderr
    assert [p.name for p in sorted((tmp_path / "all").iterdir())] == [
        f"statement-home-00{number}-2025-10.pdf" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("statement", "home-9", "2025-10"), "nothing was ever booked"),
        (("statement", "home-001", "2025-13"), "is no month"),
        (("statement", "home-001", "2025-10", "--format", "pdf"), "name its file with --out"),
        (("statements", "2031-01", "--out", "x"), "no site has an entry"),
        (("statements", "2025-10", "--out", "x", "--format", "docx"), "no format 'docx'"),
    ],
)
def test_a_mistake_is_one_line(vpp: Vpp, words: tuple[str, ...], said: str) -> None:
    done = vpp(*words)
    error = done.exception  # which `vpp` prints as it is, before it exits with its code
    assert isinstance(error, VppError)
    assert error.exit_code in (2, 5)
    assert said in str(error)
    assert "\n" not in str(error)
    assert done.output == ""
