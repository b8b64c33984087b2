"""Writes `requirements-runtime.lock`: the part of `requirements.lock` that running needs.

`requirements.lock` also holds what tests and documents need, which is half of an image. This
program follows the project's own dependencies through the metadata of what is installed here, so
run it in the project's environment, after each change of the dependencies:

    .venv/bin/python deploy/image/runtime_lock.py            write the file
    .venv/bin/python deploy/image/runtime_lock.py --check    exit 1 if it would change
"""

import argparse
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK, RUNTIME_LOCK = ROOT / "requirements.lock", ROOT / "requirements-runtime.lock"


def runtime_lock() -> str:
    """The lines of the lock that the project's dependencies lead to, in the lock's order.

    Raises `SystemExit` where a dependency is missing from the lock or from this environment.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = _closure(project["dependencies"])
    lines = {canonicalize_name(line.split("==")[0]): line for line in LOCK.read_text().splitlines()}
    if missing := needed - lines.keys():
        raise SystemExit(f"{LOCK.name} does not have {', '.join(sorted(missing))}; add them")
    return "".join(f"{line}\n" for name, line in lines.items() if name in needed)


def _closure(dependencies: Iterable[str]) -> set[str]:
    """Canonical names of these requirements and of all that they require here."""
    waiting = [Requirement(text) for text in dependencies]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in distribution(name).requires or ():
            further = Requirement(text)
            if _applies(further, extras):
                waiting.append(further)
    return {name for name, _extras in seen}


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def main() -> None:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description="The lock of the image, from the project's lock.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the file would change")
    check = parser.parse_args().check
    lines = runtime_lock()
    if RUNTIME_LOCK.is_file() and RUNTIME_LOCK.read_text() == lines:
        return
    if check:
        raise SystemExit(f"{RUNTIME_LOCK.name} is old: python deploy/image/runtime_lock.py")
    RUNTIME_LOCK.write_text(lines)


if __name__ == "__main__":
    main()
