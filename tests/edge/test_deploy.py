"""The unit and the container file start the agent that there is, with the libraries it imports."""

import ast
import json
import re
import shlex
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

from edge.__main__ import parser
from edge.run import REPLACED, WRONG_CONFIG
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy" / "edge"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
DISTRIBUTIONS = {"prometheus_client": "prometheus-client"}
"""Names of libraries that are imported by another name."""


def unit() -> ConfigParser:
    found = ConfigParser(interpolation=None)
    found.optionxform = str  # type: ignore[assignment, method-assign]  # keys as they are
    found.read(DEPLOY / "vpp-edge.service")
    return found


def instruction(name: str) -> list[str]:
    (found,) = re.findall(rf"^{name} (\[.*\])$", DOCKERFILE, re.MULTILINE)
    words: list[str] = json.loads(found)
    return words


def extra() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = set(project["optional-dependencies"]["edge"])
    assert found <= set(project["dependencies"]), "the cloud runs the same code"
    return found


def imported(folder: Path) -> set[str]:
    """Distributions that the files of a folder import, without its subfolders."""
    names = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    others = names - sys.stdlib_module_names - {"edge", "schemas"}
    return {DISTRIBUTIONS.get(name, name) for name in others}


def test_the_unit_starts_the_agent_and_not_again_where_that_is_of_no_use() -> None:
    service = unit()["Service"]
    python, *command = shlex.split(service["ExecStart"])
    assert (python, command[:2]) == ("/opt/vpp_streams/.venv/bin/python", ["-m", "edge"])
    options = parser().parse_args(command[2:])
    assert (options.command, options.config) == ("run", Path("/var/lib/vpp-edge/edge.toml"))
    assert service["WorkingDirectory"] == "/opt/vpp_streams"
    assert options.config.parent.name == service["StateDirectory"], "it may write there"
    codes = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert codes == {WRONG_CONFIG, REPLACED}


def test_the_container_starts_the_agent() -> None:
    entry, command = instruction("ENTRYPOINT"), instruction("CMD")
    assert entry == ["python", "-m", "edge"]
    options = parser().parse_args(command)
    assert (options.command, options.config) == ("run", Path("/var/lib/vpp-edge/edge.toml"))
    copied = re.findall(r"^COPY (\w+) (\w+)$", DOCKERFILE, re.MULTILINE)
    assert copied == [("schemas", "schemas"), ("edge", "edge")]


def test_the_container_has_the_libraries_of_the_extra() -> None:
    (line,) = re.findall(r"^RUN pip install (.*)$", DOCKERFILE, re.MULTILINE)
    words = [word for word in shlex.split(line) if not word.startswith(("-", "$"))]
    assert set(words) - {"requirements.lock"} == extra()
    lock = (ROOT / "requirements.lock").read_text()
    assert extra() <= {line.split("==")[0].replace("_", "-") for line in lock.split()}


def test_the_extra_is_what_the_agent_imports() -> None:
    rooms = ("", "commissioning", "identity", "optimizer", "planning")
    own = set[str]().union(*(imported(ROOT / "edge" / room) for room in rooms))
    assert own - imported_by_drivers_only() <= extra()
    assert extra() <= own


def imported_by_drivers_only() -> set[str]:
    """Libraries of a driver are an extra of its own, and `vpp edge probe` needs that one."""
    return imported(ROOT / "edge" / "drivers") - extra()
