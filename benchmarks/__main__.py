"""Every benchmark, one after another, each in a process of its own: ``python -m benchmarks``.

Prints each one's tables as it ends; --docs also writes them into docs/performance.md, between the
marks of their names, and the plots into docs/growth. One that fails is told, and the others still
run; the exit code is then 1. Not among them: `dispatch`, `agc`, `backtests`, `bid_fuzz` and
`market`, which measure how good the results are and take many minutes, as `live_cost` does;
`kafka_clients`, which wants another client; `reports`, which writes a year of files; and
`broker_failures`, which starts brokers of its own.
"""

import argparse
import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.report import Table

ALL = (
    "peers", "ingest", "raw_forms", "fleet", "region", "recovery", "replay", "allocate", "orders",
    "raw_frames", "gateway", "pipeline", "growth", "plan", "ledger", "settle_core", "explorer",
    "tracing", "rpc", "closing", "kept_windows",
)  # fmt: skip
DOCS = Path(__file__).parents[1] / "docs" / "performance.md"


def run(name: str, directory: Path, docs: bool) -> dict[str, Any] | None:
    """One benchmark's tables as its --json has them; None if it failed."""
    more = {
        "raw_frames": ["--delete"],
        "growth": [] if docs else ["--plots", str(directory)],
    }
    file = directory / f"{name}.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file)]
    done = subprocess.run([*command, *more.get(name, [])], check=False)
    if done.returncode or not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def document(text: str, name: str, results: dict[str, Any]) -> str:
    """The page with a benchmark's tables between ``<!-- name -->`` and ``<!-- end -->``."""
    before, mark, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not mark or not end:
        raise ValueError(f"the page has no marks for {name}")
    parts = [f"*{results['machine']}*\n"]
    for one in results["tables"]:
        table = Table(**one)
        parts.append(f"{table.title}:\n\n{table.markdown()}\n")
        parts += [f"{note}\n" for note in table.notes]
    return before + mark + "\n".join(parts) + end + after


def main() -> None:
    """Run the benchmarks of the command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("names", nargs="*", metavar="NAME", help=f"only these of {', '.join(ALL)}")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all tables there")
    options.add_argument("--docs", action="store_true", help=f"write them into {DOCS.name}")
    args = options.parse_args()
    there = [name for name in args.names or ALL if find_spec(f"benchmarks.{name}")]
    absent = [name for name in args.names or ALL if name not in there]
    results: dict[str, dict[str, Any]] = {}
    failed = []
    with TemporaryDirectory() as directory:
        for i, name in enumerate(there, 1):
            print(f"\n=== {name} ({i} of {len(there)})", flush=True)
            began = time.monotonic()
            found = run(name, Path(directory), args.docs)
            print(f"=== {name}: {time.monotonic() - began:.0f} s", flush=True)
            if found is None:
                failed.append(name)
            else:
                results[name] = found
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    if args.docs:
        text = DOCS.read_text(encoding="utf-8")
        for name, one in results.items():
            text = document(text, name, one)
        DOCS.write_text(text, encoding="utf-8")
    for name in absent:
        print(f"there is no benchmarks/{name}.py: not run")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
