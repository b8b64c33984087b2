"""``vpp settlement run`` as a process, and the environment of commands beside it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.paths import ROOT
from vpp_streams.settings import Settings


def environment(settings: Settings, **more: str) -> dict[str, str]:
    ledger = {} if settings.ledger is None else {"VPP_LEDGER": settings.ledger.get_secret_value()}
    return {
        "VPP_KAFKA": settings.kafka,
        "VPP_NAMESPACE": settings.namespace,
        "VPP_STATE_DIR": str(settings.state_dir),
        **ledger,
        **more,
    }


@contextmanager
def settlement(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``vpp settlement run`` as a process; one that still runs at the end is killed."""
    command = [sys.executable, "-m", "vpp_streams", "settlement", "run"]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **environment(settings)}
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
