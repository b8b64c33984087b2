"""``vpp`` and ``python -m vpp_streams``."""

import logging
import os
import sys

import typer

from vpp_streams.cli import build_app
from vpp_streams.errors import VppError

_BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Number of threads of each linear algebra library that numpy may be built with."""


def main() -> None:
    """Run the command line: a user's mistake is one line, Ctrl-C is quiet and exits 130."""
    if sys.argv[1:2] == ["backtest"]:
        # The matrices of a forecast are small: several threads wait for each other, for seconds
        # on a busy machine. The libraries read these once, when numpy is imported.
        os.environ.update({name: "1" for name in _BLAS if name not in os.environ})
    # Until a command sets up logs the libraries keep quiet: our own errors say it in one line.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        build_app()()
    except VppError as error:
        typer.secho(f"vpp: {error}", fg="red", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
