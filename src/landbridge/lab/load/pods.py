"""The load generator as objects for a cluster: a ConfigMap with the targets and a Pod that outlives no run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from landbridge.lab.load.target import Target, dump_targets

_FOLDER = "/results"


def get_manifests(
    targets: Sequence[Target], *, image: str, results: Path, name: str = "load", namespace: str = "load", seconds: float
) -> list[dict[str, Any]]:
    """Namespace, targets and Pod. The Pod writes `<results>/<name>.jsonl` on the node, which in a lab is this machine.

    Deleting the Pod ends the run: it waits for what is in flight and writes its summary.
    """
    meta = {"name": name, "namespace": namespace, "labels": {"app": name}}
    command = [
        "python3",
        "-m",
        "landbridge.lab",
        "load",
        "--targets",
        "/targets/targets.json",
        "--seconds",
        f"{seconds:g}",
    ]
    container = {
        "name": "load",
        "image": image,
        "command": [*command, "--out", f"{_FOLDER}/{name}.jsonl"],
        "resources": {"requests": {"cpu": "100m", "memory": "48Mi"}},
        "volumeMounts": [
            {"name": "targets", "mountPath": "/targets"},
            {"name": "results", "mountPath": _FOLDER},
        ],
    }
    volumes = [
        {"name": "targets", "configMap": {"name": name}},
        {"name": "results", "hostPath": {"path": str(results), "type": "DirectoryOrCreate"}},
    ]
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": volumes,
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"targets.json": dump_targets(targets)}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec},
    ]
