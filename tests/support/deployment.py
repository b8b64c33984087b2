"""The roles as image, compose and chart have to name them, and the chart rendered by helm."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from vpp_streams.settings import Settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart" / "vpp"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))

ROLES = {
    "gateway": ["gateway"],
    "flow": ["worker", "flow"],
    "ingest": ["worker", "ingest"],
    "fleet": ["worker", "fleet"],
    "region": ["worker", "region"],
    "optimizer": ["worker", "optimizer"],
    "market": ["market"],
    "settlement": ["settlement", "run"],
    "historian": ["worker", "historian"],
    "incidents": ["incidents", "run"],
    "identity": ["ca", "serve"],
    "web": ["web"],
    "rpc": ["rpc"],
    "sim": ["sim"],
}
"""Each role that is deployed, and the words after ``vpp`` that start it."""
OF_LAYOUT = {"flow": {"flow"}, "split": {"ingest", "fleet"}}
"""Roles of which a deployment has those of one layout."""

Manifest = dict[str, Any]


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run helm; the test is skipped where there is none, except in CI, which installs it."""
    installed = Settings().state_dir / "kube" / "tools" / "helm"
    program = str(installed) if installed.exists() else shutil.which("helm")
    if program is None:
        reason = "there is no helm: bash deploy/kube/tools.sh ~/.cache/vpp_streams/kube/tools"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return subprocess.run(
        [program, *words], capture_output=True, text=True, check=False, timeout=120
    )


def rendered(*words: str) -> list[Manifest]:
    """Every manifest of the chart with these values."""
    done = helm("template", "vpp", str(CHART), *words)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def named(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Those of a kind, by name."""
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == kind}


def workloads(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Deployments and StatefulSets by role."""
    kinds = named(manifests, "Deployment") | named(manifests, "StatefulSet")
    return {name.removeprefix("vpp-"): manifest for name, manifest in kinds.items()}


def container(workload: Manifest) -> Manifest:
    """The one container of a workload's pods."""
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(workload: Manifest) -> dict[str, Any]:
    """A container's own variables: the value, or where it comes from."""
    return {
        entry["name"]: entry.get("value", entry.get("valueFrom"))
        for entry in container(workload)["env"]
    }
