"""Nodes that run nothing, for `make test-kube`: pods bound to them become running and ready.

    python deploy/kube/nodes.py KUBECONFIG NODES

Enough of a kubelet for Deployments, StatefulSets, disruption budgets and rollouts to take their
course against Kubernetes' own servers. A pod whose image has the tag ``broken`` stays unready.
Ends with SIGTERM.
"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any

import yaml

BEAT_S = 8.0
"""Between two signs of life; Kubernetes misses a node after 40 s."""
ROOM = {"cpu": "16", "memory": "64Gi", "pods": "110"}
CONDITIONS = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
PATCH = "application/strategic-merge-patch+json"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class Api:
    """The API server that a kubeconfig names."""

    def __init__(self, kubeconfig: str) -> None:
        with open(kubeconfig, encoding="utf-8") as file:
            config = yaml.safe_load(file)
        self._server = config["clusters"][0]["cluster"]["server"]
        self._token = config["users"][0]["user"]["token"]
        # On loopback, with a certificate that the server has just made for itself.
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def call(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json"
    ) -> Any:
        """The answer; None where there is no such object, or another one already."""
        request = urllib.request.Request(
            self._server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in {404, 409}:
                return None
            raise


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def register(api: Api, number: int) -> str:
    """Create a node in one of three zones; its name."""
    name = f"node-{number}"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": f"zone-{number % 3}",
    }
    api.call("POST", "/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
    return name


def beat(api: Api, name: str) -> None:
    """Report a node as ready."""
    ready = {"type": "Ready", "status": "True", "reason": "Stub", "lastHeartbeatTime": now()}
    status = {"capacity": ROOM, "allocatable": ROOM, "conditions": [ready]}
    api.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, kind=PATCH)
    lease = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now()}
    if api.call("PATCH", f"{LEASES}/{name}", {"spec": lease}, kind=PATCH) is None:
        api.call("POST", LEASES, {"metadata": {"name": name}, "spec": lease})


def tend(api: Api, pod: dict[str, Any], nodes: set[str]) -> None:
    """Let a pod of ours run, or go."""
    metadata, spec = pod["metadata"], pod["spec"]
    if spec.get("nodeName") not in nodes:
        return
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
    if metadata.get("deletionTimestamp"):
        gone = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        api.call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **gone})
    elif pod["status"].get("phase") == "Pending":
        api.call("PATCH", f"{path}/status", {"status": running(spec)}, kind=PATCH)


def running(spec: dict[str, Any]) -> dict[str, Any]:
    """The status of a pod whose containers run, and are ready unless they are broken."""
    works = not any(each["image"].endswith(":broken") for each in spec["containers"])
    at = now()[:19] + "Z"

    def met(condition: str) -> bool:
        return works or condition in {"PodScheduled", "Initialized"}

    return {
        "phase": "Running",
        "podIP": "127.0.0.1",
        "startTime": at,
        "conditions": [
            {"type": name, "status": str(met(name)), "lastTransitionTime": at}
            for name in CONDITIONS
        ],
        "containerStatuses": [
            {
                "name": each["name"],
                "image": each["image"],
                "imageID": "none",
                "ready": works,
                "started": works,
                "restartCount": 0,
                "state": {"running": {"startedAt": at}},
            }
            for each in spec["containers"]
        ],
    }


def main(kubeconfig: str, count: int) -> None:
    """Tend the pods of ``count`` nodes until ended."""
    api = Api(kubeconfig)
    nodes = {register(api, number) for number in range(count)}
    due = 0.0
    while True:
        if time.monotonic() >= due:
            for name in nodes:
                beat(api, name)
            due = time.monotonic() + BEAT_S
        for pod in api.call("GET", "/api/v1/pods")["items"]:
            tend(api, pod, nodes)
        time.sleep(0.3)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
