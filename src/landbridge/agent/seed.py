"""What lies in Envoy's folder before the agent runs: enough for Envoy to start, and not enough to be ready.

The `/ready` listener comes with the first real files, so a pod is ready only when it is configured (waypoint.md 7).
Files that are there already stay: a restarted pod goes on with what it had.
"""

from __future__ import annotations

import os

from landbridge.agent.files import place
from landbridge.agent.options import Options, Role
from landbridge.envoy.bootstrap import bootstrap
from landbridge.envoy.discovery import join
from landbridge.envoy.names import LISTENERS_FILE
from landbridge.envoy.render import files
from landbridge.envoy.state import Gateway, Waypoint


def seed(options: Options) -> list[str]:
    """Write the missing files; returns their names."""
    options.envoy_dir.mkdir(parents=True, exist_ok=True)
    node = os.environ.get("POD_NAME") or f"{options.role}-{options.cluster}"
    state: Waypoint | Gateway
    if options.role is Role.WAYPOINT:
        state = Waypoint(cluster=options.cluster, namespace=options.namespace, listeners=())
    else:
        state = Gateway(cluster=options.cluster, exports=(), allowed=())
    boot = bootstrap(options.role.value, node, cluster=options.cluster, places=options.places, admin=options.admin_at)
    wanted = {"bootstrap.json": boot} | dict(files(state, options.places))
    wanted[LISTENERS_FILE] = join([])
    missing = [name for name in wanted if name == "bootstrap.json" or not (options.envoy_dir / name).exists()]
    for name in missing:
        place(options.envoy_dir / name, wanted[name])
    return missing
