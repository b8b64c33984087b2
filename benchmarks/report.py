"""The output of every benchmark: the machine, one table with the ratio first, a line of progress.

A number of seconds says little on a machine that others use as well; the ratio to a baseline of
the same run says more. So every table has it in front, and times are CPU seconds, not the clock's.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

Cell = str | float | int | None


@dataclass(slots=True)
class Table:
    """Rows of cells under column names; the first column names the row, the second is the ratio."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences below the table: what limits the result, and what was verified."""

    def add(self, *cells: Cell) -> None:
        """Add a row."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells under {len(self.columns)} columns")
        self.rows.append(cells)

    def text(self) -> str:
        """The table as text with aligned columns."""
        grid = [list(self.columns), *([shown(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in grid
        ]
        return "\n".join([self.title, *lines, *self.notes])

    def markdown(self) -> str:
        """As a Markdown table, for docs/performance.md."""
        grid = [["" if cell is None else shown(cell) for cell in row] for row in self.rows]
        rule = ["---", *("---:" for _ in self.columns[1:])]
        return "\n".join(f"| {' | '.join(row)} |" for row in [list(self.columns), rule, *grid])


def shown(cell: Cell) -> str:
    """A cell as text: three significant digits, thousands separated."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def machine(kafka: str | None = None) -> str:
    """The machine of the measurement, in a line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        model = next((line.partition(":")[2].strip() for line in found), model)
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    broker = f", Kafka at {kafka}" if kafka else ", no Kafka"
    reference = f", reference {cpu_s(_reference, 5) * 1e3:.0f} ms"
    return f"{model}, {os.cpu_count()} cores{load}, {python}{broker}{reference}"


def _reference() -> None:
    """Fixed work, about 50 ms of Python and numpy, which shows the present speed of a core."""
    found = {str(i): i * 0.5 for i in range(100_000)}
    np.sort(np.fromiter(found.values(), np.float64)[::-1] % 977.0)


def cpu_s(work: Callable[[], object], repeat: int) -> float:
    """Median CPU seconds of one call, of all threads of this process."""
    spent = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def progress(text: str) -> None:
    """Print a line of progress on stderr, so that stdout has only the tables."""
    print(f"  {text}", file=sys.stderr, flush=True)


def parser(doc: str | None, repeat: int | None = None) -> argparse.ArgumentParser:
    """Options that all have; ``repeat`` is the default of --repeat, None = it has none.

    The module's docstring is the help text, as it stands.
    """
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the tables there too")
    if repeat is not None:
        made.add_argument(
            "--repeat",
            type=int,
            default=repeat,
            help=f"number of runs whose median is taken ({repeat})",
        )
    return made


def publish(args: argparse.Namespace, tables: Sequence[Table], kafka: str | None = None) -> None:
    """Print the machine and the tables, and write them to --json if requested."""
    measured_on = machine(kafka)
    print(f"\n{measured_on}")
    for table in tables:
        print(f"\n{table.text()}")
    if args.json:
        results = {"machine": measured_on, "tables": [asdict(table) for table in tables]}
        args.json.write_text(json.dumps(results, indent=1) + "\n")
