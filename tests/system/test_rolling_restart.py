"""Every role is restarted while a region delivers (`benchmarks/rolling_restart.py`)."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from vpp_streams.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.nightly]


def test_a_dispatch_goes_on_while_every_role_is_restarted(settings: Settings) -> None:
    command = [sys.executable, "benchmarks/rolling_restart.py", "--homes", "60"]
    environment = os.environ | {
        "VPP_KAFKA": settings.kafka,
        "VPP_STATE_DIR": str(settings.state_dir),
        "VPP_NAMESPACE": settings.namespace,
    }
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr[-3000:]}"
