"""``vpp-edge`` and ``python -m edge``: the agent without the rest of the power station.

Its command line needs none of the libraries of ``vpp``, which a computer in a home can do without.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="vpp-edge", description="The agent of one home: its battery in a virtual power plant."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the agent until Ctrl-C or SIGTERM")
    run.add_argument("config", type=Path, help="a TOML file; see example-config")
    commands.add_parser("example-config", help="print a configuration with every key")
    options = parser.parse_args()
    if options.command == "example-config":
        from edge.config import EXAMPLE  # noqa: PLC0415 - `--help` answers at once

        sys.stdout.write(EXAMPLE)
    else:
        from edge.run import run as run_agent  # noqa: PLC0415 - as above

        sys.exit(run_agent(options.config))


if __name__ == "__main__":
    main()
