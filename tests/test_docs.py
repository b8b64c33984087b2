"""What the pages say of the code is there: files, and the names that the walks point to."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.paths import DOCS, ROOT

PAGES = [
    *(path for path in sorted(DOCS.rglob("*.md")) if "adr" not in path.parts),
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
]
TOP = (
    "vpp_streams",
    "agents",
    "tables",
    "schemas",
    "edge",
    "device_sim",
    "tests",
    "docs",
    "deploy",
)
TO_BE_WRITTEN = {
    "vpp_streams/domain/telemetry/normalize/northwind.py",  # written by the reader of the guide
}


def names_in(path: Path) -> set[str]:
    """Functions, classes, and their methods as ``Class.method``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            found |= {f"{node.name}.{f.name}" for f in node.body if isinstance(f, functions)}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    quoted = re.findall(r"`([\w.*/-]+)`", page.read_text())
    named = {q for q in quoted if q.split("/")[0] in TOP and "/" in q and "*" not in q}
    missing = {path for path in named if not (ROOT / path).exists()} - TO_BE_WRITTEN
    assert not missing


def test_a_walk_names_what_is_in_its_files() -> None:
    steps = re.findall(r"\| `([\w/]+\.py)` `([\w.]+)` \|", (DOCS / "walk.md").read_text())
    assert len(steps) > 20
    missing = [(file, name) for file, name in steps if name not in names_in(ROOT / file)]
    assert not missing


def test_every_room_is_on_the_map() -> None:
    page = (DOCS / "rooms.md").read_text()
    rooms = [*(ROOT / "vpp_streams").iterdir(), *(ROOT / "vpp_streams" / "domain").iterdir()]
    folders = [room for room in rooms if (room / "__init__.py").exists() and room.name != "domain"]
    names = [f"`{room.relative_to(ROOT)}/`" for room in folders]
    assert [name for name in names if name not in page] == []
