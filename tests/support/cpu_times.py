"""CPU time of tests by file: ``python -m pytest -p tests.support.cpu_times ...``, without ``-n``.

A test's time is that of this process and of the processes that it started, ended or not. A browser
or a broker that later tests share is listed apart: it may end in the time of any test.
"""

import os
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

KINDS = ("tests", "processes", "shared")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SHARED = ("java", "chrom", "node")
"""What the names of programs begin with that several tests share."""
_files: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(KINDS, 0.0))
_shared_s: dict[int, float] = {}
"""What each shared process and those below it have taken so far, by its id."""


def _processes() -> dict[int, tuple[int, str, float, float]]:
    """By process id: its parent, name, own CPU time and that of the children that it awaited, s."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text(errors="replace")
        except OSError:  # it has just ended
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        fields = text[text.rindex(")") + 2 :].split()
        own, awaited = (sum(map(int, fields[at : at + 2])) * _TICK_S for at in (11, 13))
        found[int(path.parent.name)] = (int(fields[1]), name, own, awaited)
    return found


def _taken() -> dict[str, float]:
    """CPU seconds by kind so far."""
    processes = _processes()
    children = defaultdict(list)
    for pid, (parent, *_) in processes.items():
        children[parent].append(pid)

    def tree_s(pid: int) -> float:
        _, name, own_s, awaited_s = processes[pid]
        found_s = own_s + awaited_s + sum(map(tree_s, children[pid]))
        if name.startswith(_SHARED) and not processes[processes[pid][0]][1].startswith(_SHARED):
            _shared_s[pid] = found_s
        return found_s

    me = os.getpid()
    all_s = processes[me][3] + sum(map(tree_s, children[me]))  # with those that have ended
    shared_s = sum(_shared_s.values())
    return {"tests": time.process_time(), "processes": all_s - shared_s, "shared": shared_s}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note what a test takes."""
    before = _taken()
    try:
        return (yield)
    finally:
        after, file = _taken(), _files[item.location[0]]
        for kind in KINDS:
            # Less than nothing: a browser has ended, and nobody awaited the processes below it.
            file[kind] += max(after[kind] - before[kind], 0.0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the files, the dearest first."""
    terminalreporter.section("CPU time, s")
    terminalreporter.write_line("".join(f"{kind:>10}" for kind in KINDS))
    for name, taken in sorted(_files.items(), key=lambda each: -sum(each[1].values())):
        figures = "".join(f"{taken[kind]:10.1f}" for kind in KINDS)
        terminalreporter.write_line(f"{figures}  {name}")
