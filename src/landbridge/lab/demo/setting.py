"""Where a demo plays: the lab, the shop in `legacy`, and what its migration.yaml says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landbridge.clients.kinds import SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.lab.databases import Databases
from landbridge.lab.shop.objects import PARTS
from landbridge.lab.shop.wire.fault import Fault, set_fault
from landbridge.model.service import Manifest

STEPS = (5, 25, 50, 95, 100)
DWELL = 5.0
SOAK = 3.0
CONCURRENCY = 9
FEW_STEPS = (10, 50, 90, 100)
MANY_AT_ONCE = 64
SHOP = tuple(part.name for part in PARTS)
CAREFUL = {"payments": 12.0}
"""Seconds that its weights dwell at least: of a copy that fails 20 % of 2 requests a second, 5 s show nothing in one
try of eight, and the next share is five times as large."""

RATES = {"web": 8.0, "catalog": 50.0, "users": 50.0, "cart": 20.0, "orders": 15.0, "payments": 45.0, "stock": 15.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """A finding that the demo takes as it is."""

    check: str
    reason: str
    object: str = "*"


def migration_yaml(found: str, *, image: str, date: str, accepted: Sequence[Accept]) -> str:
    """What `init` wrote, with short dwells: a demo has minutes where a migration has hours."""
    lines = [
        "",
        "# What the demo adds.",
        f"steps: {list(STEPS)}",
        f"dwell: {DWELL:g}",
        "maxDwell: 0  # a real migration lets quiet services take their time",
        f"soak: {SOAK:g}",
        "bursts: request  # the shop's failures come one by one",
        f"concurrency: {CONCURRENCY}",
        f"dataPlane: {{image: {json.dumps(image)}, workers: 1}}",
        "services:",
        *(
            f"  shop/{name}: {{requestRate: {rate:g}, dwell: {CAREFUL.get(name, DWELL):g}}}"
            for name, rate in RATES.items()
        ),
        "accepted:",
        *(
            f"  - {{check: {entry.check}, object: {json.dumps(entry.object)}, "
            f"reason: {json.dumps(entry.reason)}, date: {date}}}"
            for entry in accepted
        ),
    ]
    return found + "\n".join(lines) + "\n"


def migration_of_many(found: str, *, image: str, date: str) -> str:
    """What `init` wrote, for hundreds of quiet services: they flip, and the shop's ramp."""
    quiet = "one or two requests a second cannot decide at any share: it flips, and the soak watches"
    lines = [
        "",
        "# What the demo adds.",
        "steps: [100]  # nothing could be compared at this traffic; see last-bake below",
        "dwell: 2",
        "maxDwell: 0",
        f"soak: {SOAK:g}",
        "bursts: request",
        "maxHoldDwells: 60",
        f"concurrency: {MANY_AT_ONCE}",
        "dataPlane: {workers: 1, waypoints: 1, gateways: 1, cpu: 100m, gatewayCpu: 300m,",
        f"  image: {json.dumps(image)}}}",
        "services:",
        *(
            f"  shop/{name}: {{steps: {list(FEW_STEPS)}, dwell: {DWELL:g}, requestRate: {RATES.get(name, 10.0):g}}}"
            for name in SHOP
        ),
        "accepted:",
        f"  - {{check: last-bake, reason: {json.dumps(quiet)}, date: {date}}}",
        f"  - {{check: metrics-api, reason: the lab has no metrics server, date: {date}}}",
    ]
    return found + "\n".join(lines) + "\n"


async def break_copy(databases: Databases, service: str, cluster: str, fault: Fault) -> None:
    """Make all copies of a service in one cluster fail, or mend them with SOUND; they notice within two seconds."""
    host, _, port = databases.redis.rpartition(":")
    await set_fault(host, service, cluster, fault, port=int(port))


async def apply_again(k8s: Kubernetes, manifest: Manifest) -> None:
    """The owner deploys: server-side apply with force, and then what `kubectl apply` would patch."""
    await k8s.apply(manifest, manager="shop-team", force=True)
    meta = manifest["metadata"]
    written = json.dumps(manifest, separators=(",", ":"))
    patch = {
        "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": written}},
        "spec": manifest["spec"],
    }
    await k8s.patch(SERVICE, meta["name"], patch, meta["namespace"], manager="kubectl-client-side-apply")


def fresh_folder(path: Path) -> Path:
    """An empty folder for the migration; one of an earlier demo is moved aside, never deleted."""
    number = 1
    while path.exists() and any(path.iterdir()):
        number += 1
        path = path.with_name(f"{path.name.partition('-')[0]}-{number}")
    path.mkdir(parents=True, exist_ok=True)
    return path
