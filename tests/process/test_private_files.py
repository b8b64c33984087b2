"""What a state directory holds is its owner's."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from vpp_streams.local.supervisor import Supervisor
from vpp_streams.process.private_files import locked, private_directory
from vpp_streams.serving.operators import make_demo_operator


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def an_open_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_directory_and_those_above_it_are_for_their_owner_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    made = private_directory(tmp_path / "state" / "logs" / "demo")
    assert [mode(path) for path in (made, made.parent, made.parent.parent)] == [0o700] * 3
    assert mode(tmp_path) == 0o755, "one that was there is left as it is"
    assert private_directory(made) == made


def test_whoever_makes_the_state_directory_first_makes_it_so(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "up.lock"):
        pass
    Supervisor([], tmp_path / "b" / "logs")
    operators, _ = make_demo_operator(tmp_path / "c", "demo", "http://localhost")
    assert [mode(tmp_path / name) for name in ("a", "b", "b/logs", "c")] == [0o700] * 4
    assert mode(operators) == 0o600
