"""What Envoy is started with: where its files are, who it is, and how it keeps statistics."""

from __future__ import annotations

import json
from typing import Literal

from landbridge.envoy.http import STATS_PREFIX
from landbridge.envoy.names import CLUSTERS_FILE, LISTENERS_FILE, Json, Places, typed, watched

ADMIN_ADDRESS, ADMIN_PORT = "127.0.0.1", 15000
BUCKETS_MS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 10000)
"""Upper edges of the latency histograms in ms; steps of about 1.5 so that half as slow again can be seen."""


def bootstrap(
    role: Literal["waypoint", "gateway"],
    node: str,
    *,
    cluster: str,
    places: Places | None = None,
    admin: tuple[str, int] = (ADMIN_ADDRESS, ADMIN_PORT),
) -> bytes:
    """The bootstrap file of a pod: start Envoy with `-c` on it and `--disable-hot-restart`.

    `node` is the pod's name, `cluster` the cluster's. The files of `files()` have to be there before: Envoy refuses
    to start without LDS and CDS. `admin` must stay inside the pod. Needs Envoy 1.39 or later (the scope of the access
    loggers that count), tried with 1.40.
    """
    where = places or Places()
    document: Json = {
        "node": {"id": node, "cluster": f"{cluster}/{role}"},
        "admin": {"address": {"socket_address": {"address": admin[0], "port_value": admin[1]}}},
        "dynamic_resources": {
            "cds_config": watched(CLUSTERS_FILE, where),
            "lds_config": watched(LISTENERS_FILE, where),
        },
        **({"bootstrap_extensions": [_inside()]} if role == "waypoint" else {}),
        "stats_flush_on_admin": True,
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
        "stats_config": {"histogram_bucket_settings": [_buckets()], "stats_matcher": _kept()},
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _inside() -> Json:
    """Listeners that only Envoy itself can reach: copies are counted in them."""
    kind = "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
    return {"name": "envoy.bootstrap.internal_listener", "typed_config": typed(kind)}


def _buckets() -> Json:
    return {"match": {"prefix": f"{STATS_PREFIX}."}, "buckets": list(BUCKETS_MS)}


def _kept() -> Json:
    """The statistics that somebody reads. Envoy goes through all that it keeps for every question, and a namespace of
    100 services has 72,000: 44 ms of its main thread a question, with these 13.

    Envoy itself reads some as well: without `upstream_cx_total` it asks for health as if there were no traffic, every
    5 s instead of each second, and the gateways' answers are made of `membership_*`.
    """
    prefixes = (f"{STATS_PREFIX}.", "cluster_manager.", "listener_manager.", "sds.", "http.waypoint.rds.", "server.")
    read = ("upstream_rq_active", "membership_healthy", "membership_total", "_overflow", "downstream_cx_active")
    suffixes = (*read, "downstream_rq_active", "upstream_cx_total")
    patterns = [*({"prefix": text} for text in prefixes), *({"suffix": text} for text in suffixes)]
    return {"inclusion_list": {"patterns": patterns}}
