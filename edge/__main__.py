"""``vpp-edge`` and ``python -m edge``: the agent without the rest of the power station.

Its command line needs none of the libraries of ``vpp``, which a computer in a home can do without.
"""

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="vpp-edge", description="The agent of one home: its battery in a virtual power plant."
    )
    commands = made.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the agent until Ctrl-C or SIGTERM")
    enrol = commands.add_parser("enrol", help="fetch a certificate with a one-time code")
    check = commands.add_parser("check", help="check the installation, in place of the agent")
    for each in (run, enrol, check):
        each.add_argument("config", type=Path, help="a TOML file; see example-config")
    enrol.add_argument("--code", required=True, help="the operator's one-time code")
    enrol.add_argument(
        "--fingerprint", required=True, help="SHA-256 of the authority, which came with the code"
    )
    check.add_argument("--json", action="store_true", help="one JSON object a line")
    probe = commands.add_parser("probe", help="say what inverter is at an address")
    probe.add_argument("address", help="HOST or HOST:PORT")
    probe.add_argument("--unit", type=int, default=1, help="the Modbus unit")
    probe.add_argument("--driver", default="sunspec", help="another driver than sunspec")
    probe.add_argument(
        "--option", action="append", default=[], help="KEY=VALUE of that driver, as in [driver]"
    )
    commands.add_parser("example-config", help="print a configuration with every key")
    return made


def main() -> None:
    """Run the command line. What a command needs is imported by it: `--help` answers at once."""
    options = parser().parse_args()
    if options.command == "example-config":
        from edge.config import EXAMPLE  # noqa: PLC0415 - as above

        sys.stdout.write(EXAMPLE)
    elif options.command == "enrol":
        from edge.identity.enrol import enrol  # noqa: PLC0415 - as above

        sys.exit(enrol(options.config, options.code, options.fingerprint))
    elif options.command == "probe":
        from edge.commissioning.probe_command import probe  # noqa: PLC0415 - as above

        sys.exit(probe(options.address, options.unit, options.driver, options.option))
    elif options.command == "check":
        from edge.commissioning.command import check  # noqa: PLC0415 - as above

        sys.exit(check(options.config, as_json=options.json))
    else:
        from edge.run import run as run_agent  # noqa: PLC0415 - as above

        sys.exit(run_agent(options.config))


if __name__ == "__main__":
    main()
