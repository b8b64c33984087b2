"""``vpp`` and ``python -m vpp_streams``."""

import logging
import sys

import typer

from vpp_streams.cli import build_app
from vpp_streams.errors import VppError


def main() -> None:
    """Run the command line: a user's mistake is one line, Ctrl-C is quiet and exits 130."""
    # Until a command sets up logs the libraries keep quiet: our own errors say it in one line.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        build_app()()
    except VppError as error:
        typer.secho(f"vpp: {error}", fg="red", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
