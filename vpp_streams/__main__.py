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
    except Exception as error:
        known = error_for_people(error)
        if known is None:
            raise
        typer.secho(f"vpp: {known}", fg="red", err=True)
        sys.exit(known.exit_code)


def error_for_people(error: BaseException) -> VppError | None:
    """The error to print in one line, also out of a group of tasks; None for a bug.

    A user of Kafka that lacks a right is told which, wherever in the process that showed.
    """
    if isinstance(error, VppError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [error_for_people(one) for one in error.exceptions]
        return None if None in found else found[0]
    refusal = sys.modules.get("vpp_streams.kafka.refusals")  # where Kafka was not used, no need
    return refusal.denied(error) if refusal is not None else None


if __name__ == "__main__":
    main()
