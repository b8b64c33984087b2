"""Judges the system that docker-compose.yml runs, as `vpp up --check` judges its own.

    VPP_TOKEN=… VPP_SIM_SECRET=… python deploy/docker/judge.py --seconds 60

Prints the JSON report; exits 0 if it is healthy. It reads Kafka and the web process through their
published ports (VPP_KAFKA, VPP_WEB_PORT), and asks Docker for restarts.
"""

import argparse
import asyncio
import os
import subprocess
import sys

from vpp_streams.cli.screens.documents import print_json
from vpp_streams.local.demo_check import measure
from vpp_streams.local.loop_check import Expected
from vpp_streams.local.simulated_fleet import sites_to_simulate
from vpp_streams.settings import load_settings

HOMES, SOLAR, MEGAPACKS, SEED = 200, 20, 2, 1
"""The fleet of `vpp sim` as docker-compose.yml starts it."""


def restarts() -> dict[str, int]:
    """How often Docker has started each container of the project again."""
    profiles = ("--profile", "system", "--profile", "demo")
    listed = subprocess.run(
        ["docker", "compose", *profiles, "ps", "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    )
    form = '{{index .Config.Labels "com.docker.compose.service"}} {{.RestartCount}}'
    told = subprocess.run(
        ["docker", "inspect", "--format", form, *listed.stdout.split()],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: int(count) for name, count in map(str.split, told.stdout.splitlines())}


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description="Judge the system that docker compose runs.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure")
    seconds = parser.parse_args().seconds
    settings = load_settings()
    token = settings.api_token
    if token is None:
        parser.error("VPP_TOKEN: make one with `vpp accounts token` in the web container")
    sites = sites_to_simulate(
        HOMES, SOLAR, MEGAPACKS, seed=SEED, secret=os.environ["VPP_SIM_SECRET"]
    )
    expected = Expected(
        devices=sum(len(site.devices) for site in sites),
        regions=frozenset(site.region for site in sites),
        seconds=seconds,
    )
    stopping = asyncio.Event()
    report = asyncio.run(
        measure(settings, restarts, expected, sites, stopping=stopping, token=token)
    )
    print_json(report)
    return 0 if report.healthy else 1


if __name__ == "__main__":
    sys.exit(main())
