"""The contracts: the generated code is theirs, and what breaks clients is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def generate(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "proto" / "generate.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_generated_code_is_that_of_the_contracts() -> None:
    result = generate(ROOT, "--check")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("double up_w = 2;", "double up_w = 7;", "up_w"),
        ("rpc GetRegion(", "rpc FetchRegion(", "GetRegion"),
        ("  int32 duration_s = 1;", "  int64 duration_s = 1;", "duration_s"),
    ],
)
def test_a_change_that_breaks_clients_is_refused(
    tmp_path: Path, old: str, new: str, error: str
) -> None:
    for folder in ("proto", "vpp"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    contract = tmp_path / "proto/vpp/region/v1/region.proto"
    text = contract.read_text()
    assert old in text
    contract.write_text(text.replace(old, new, 1))
    before = (tmp_path / "vpp/region/v1/region_pb2.py").read_bytes()
    result = generate(tmp_path)
    assert result.returncode != 0
    assert error in result.stdout + result.stderr
    assert (tmp_path / "vpp/region/v1/region_pb2.py").read_bytes() == before


def test_code_that_is_older_than_the_contracts_is_found(tmp_path: Path) -> None:
    for folder in ("proto", "vpp"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    contract = tmp_path / "proto/vpp/region/v1/region.proto"
    more = "\n// New.\nmessage More {\n  string text = 1;\n}\n"
    contract.write_text(contract.read_text() + more)
    result = generate(tmp_path, "--check")
    assert result.returncode != 0
    assert "region_pb2.py" in result.stderr
    assert generate(tmp_path).returncode == 0
    assert generate(tmp_path, "--check").returncode == 0
