"""``vpp statement`` and ``vpp statements``, as a user types them; no Kafka is needed."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.support.statement_world import booked


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return booked(tmp_path_factory.mktemp("ledger")).state_dir


def vpp(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("VPP_")}
    env |= {"VPP_STATE_DIR": str(directory), "VPP_LEDGER_ZONE": "Europe/Berlin"}
    env |= {"VPP_KAFKA": "127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, "-m", "vpp_streams", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_statement_is_printed_and_written(directory: Path, tmp_path: Path) -> None:
    table = vpp(directory, "statement", "home-001", "2025-10")
    assert (table.returncode, "Earned in this month" in table.stdout) == (0, True), table.stderr
    assert "names of programs and costs of storms are left out" in table.stderr
    json = vpp(directory, "statement", "home-001", "2025-10", "--format", "json")
    told = msgspec.json.decode(json.stdout)
    assert told["total"]["amount"] in table.stdout
    file = tmp_path / "october.pdf"
    vpp(directory, "statement", "home-001", "2025-10", "--format", "pdf", "--out", str(file))
    assert file.read_bytes().startswith(b"%PDF")


def test_each_site_gets_a_file(directory: Path, tmp_path: Path) -> None:
    done = vpp(directory, "statements", "2025-10", "--out", str(tmp_path / "all"))
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
def test_a_mistake_is_one_line(directory: Path, words: tuple[str, ...], said: str) -> None:
    done = vpp(directory, *words)
    assert done.returncode in (2, 5)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
