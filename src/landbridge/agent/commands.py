"""`landbridge agent`: the process inside a cluster."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from landbridge.agent.options import Options, Role, pod_name
from landbridge.clock import SystemClock
from landbridge.model.exports import Exports

app = cyclopts.App(name="agent", help="The process inside a cluster that makes Envoy obey; it is started by connect.")
CHILD = "LANDBRIDGE_AGENT_CHILD"  # set in the process that works, so that it does not supervise another


@app.default
def agent(
    *,
    role: Role,
    namespace: str,
    cluster: str,
    envoy_dir: Path = Path("/run/landbridge/envoy"),
    tls_dir: Path = Path("/etc/landbridge/tls"),
    admin: str = "127.0.0.1:15000",
    bind: str = "::",
    serve: str = "0.0.0.0:15020",
    kubeconfig: Path | None = None,
    link: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    policies: str = "",
    exports: str = "{}",
    hop_header: str = "",
    seed: bool = False,
) -> int:
    """Feed the Envoy beside it: splits, endpoints and exports of the cluster become its files.

    Runs until SIGTERM and starts itself again when it crashes.

    Example: `landbridge agent --role waypoint --namespace shop --cluster eks`

    Args:
        role: waypoint (of one namespace) or gateway (of the cluster; one of them leads).
        namespace: The namespace of the waypoint, or that of the gateway.
        cluster: The name of this cluster.
        envoy_dir: The folder that Envoy reads its files from.
        tls_dir: The folder with tls.crt, tls.key and ca.crt.
        admin: Envoy's admin interface, inside the pod.
        bind: Where Envoy listens; 0.0.0.0 where nodes have no IPv6.
        serve: Where counters and state are offered, read-only.
        kubeconfig: Another way to the API server than the pod's ServiceAccount.
        link: Another cluster's name; may be repeated. Default: those whose link Secret may be read.
        policies: enforce: a waypoint lets in whom the NetworkPolicies of a Service's pods let in. It then reads
            those of its namespace, and pods and namespaces as far as they name them.
        exports: What the other clusters may see, as JSON; default: what has the export label.
        hop_header: A header to which a gateway appends its cluster's name, in each request that comes in by it: who
            answers can count how often a request has crossed. Default: requests come in as they were sent.
        seed: Only write what Envoy needs to start, and end.
    """
    options = Options(
        role=role,
        namespace=namespace,
        cluster=cluster,
        envoy_dir=envoy_dir,
        tls_dir=tls_dir,
        admin=admin,
        bind=bind,
        serve=serve,
        kubeconfig=kubeconfig,
        links=link,
        exports=Exports.read(json.loads(exports)),
        holder=pod_name(),
        uid=os.environ.get("POD_UID", ""),
        policies=policies,
        hop_header=hop_header,
    )
    if seed:
        from landbridge.agent.seed import seed as write

        write(options)
        return 0
    if os.environ.get(CHILD):
        from landbridge.agent.process import run

        return asyncio.run(run(options, SystemClock()))
    from landbridge.agent.supervise import supervise

    os.environ[CHILD] = "1"
    return asyncio.run(supervise([sys.executable, "-m", "landbridge.agent", *options.arguments()], SystemClock()))
