"""Two Envoys as somebody would configure them by hand: an edge and a gateway, HTTP/2 over mutual TLS between them.

What is plain good practice is in it: no limits of the edge's own, TLS 1.3, exact identities, one cluster each, the
same number of workers. Nothing of landbridge's is: no shared route table, no fallback, no retries, no health checks,
no counting.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.envoy.envoys import BINARY, CLOCK, Envoy
from tests.envoy.pair import GATEWAY_ID, WAYPOINT_ID, Addresses

from landbridge.clock import wait_for

Json = dict[str, Any]
PORT, GATEWAY_PORT, ADMIN_PORT = 20090, 15453, 15001
SNI = "web.shop"
_TYPES = "type.googleapis.com/envoy.extensions"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@asynccontextmanager
async def by_hand(at: Addresses, folder: Path, here: Path, there: Path) -> AsyncIterator[str]:
    """Both running; yields `host:port` of the edge. `here` and `there` are folders with tls.crt, tls.key, ca.crt."""
    async with AsyncExitStack() as stack:
        for name, address, document in (
            ("hand-gateway", at.gateway, gateway(at, there)),
            ("hand-edge", at.waypoint, edge(at, here)),
        ):
            await stack.enter_async_context(_running(folder / name, (address, ADMIN_PORT), document))
        yield f"{at.waypoint}:{PORT}"


def edge(at: Addresses, tls: Path) -> Json:
    """Plain HTTP in, HTTP/2 over mutual TLS out."""
    socket = _tls("transport_sockets.tls.v3.UpstreamTlsContext", tls, GATEWAY_ID, sni=SNI)
    cluster = _cluster("gateway", at.gateway, GATEWAY_PORT, {"http2_protocol_options": {}}) | {
        "transport_socket": socket
    }
    return _bootstrap(at.waypoint, _listener(at.waypoint, PORT, "gateway"), cluster)


def gateway(at: Addresses, tls: Path) -> Json:
    """Mutual TLS in, by SNI; HTTP/1.1 out to the pod."""
    listener = _listener(at.gateway, GATEWAY_PORT, "pod")
    socket = _tls("transport_sockets.tls.v3.DownstreamTlsContext", tls, WAYPOINT_ID, require_client_certificate=True)
    listener["filter_chains"][0] |= {"filter_chain_match": {"server_names": [SNI]}, "transport_socket": socket}
    inspector = {"@type": f"{_TYPES}.filters.listener.tls_inspector.v3.TlsInspector"}
    listener["listener_filters"] = [{"name": "tls_inspector", "typed_config": inspector}]
    return _bootstrap(at.gateway, listener, _cluster("pod", at.remote, 8080, {"http_protocol_options": {}}))


def _bootstrap(host: str, listener: Json, cluster: Json) -> Json:
    admin = {"address": _address(host, ADMIN_PORT)}
    return {"admin": admin, "static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _listener(host: str, port: int, cluster: str) -> Json:
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}]
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "hand",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": cluster, "address": _address(host, port), "filter_chains": [{"filters": filters}]}


def _cluster(name: str, host: str, port: int, protocol: Json) -> Json:
    endpoint = {"endpoint": {"address": _address(host, port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            _HTTP: {"@type": f"type.googleapis.com/{_HTTP}", "explicit_http_config": protocol}
        },
    }


def _tls(kind: str, folder: Path, peer: str, **fields: Any) -> Json:
    certificate = {
        "certificate_chain": {"filename": f"{folder}/tls.crt"},
        "private_key": {"filename": f"{folder}/tls.key"},
    }
    exact = {"san_type": "URI", "matcher": {"exact": peer}}
    common = {
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [certificate],
        "validation_context": {
            "trusted_ca": {"filename": f"{folder}/ca.crt"},
            "match_typed_subject_alt_names": [exact],
        },
    }
    config = {"@type": f"{_TYPES}.{kind}", "common_tls_context": common, **fields}
    return {"name": "tls", "typed_config": config}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


@asynccontextmanager
async def _running(folder: Path, admin: tuple[str, int], document: Json) -> AsyncIterator[None]:
    folder.mkdir(parents=True)
    (folder / "bootstrap.json").write_text(json.dumps(document))
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            BINARY, "-c", folder / "bootstrap.json", "--disable-hot-restart", "--concurrency", "2", "-l", "warning",
            stderr=log,
        )  # fmt: skip
    envoy = Envoy(folder=folder, admin=admin, process=process)

    async def ready() -> bool:
        try:
            return (await envoy.get("/ready")).startswith(b"LIVE")
        except OSError:
            assert process.returncode is None, (folder / "log").read_text()
            return False

    try:
        await wait_for(ready, what=f"{folder.name} is ready", within=20, clock=CLOCK)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
