"""The way from one cluster to the other: a read-only token, the gateway's address and identity, the CA to trust."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landbridge.clients.kinds import NODE, SECRET, SERVICE
from landbridge.clients.kubeconfig import Context
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import wait_for
from landbridge.connect import manifests, names
from landbridge.connect.identity import spiffe
from landbridge.connect.options import Options
from landbridge.errors import AccessError
from landbridge.model.exports import Exports, MirrorRules
from landbridge.model.service import Manifest

NODES = 5  # of a NodePort gateway: each is asked by itself, and a name in DNS is better than more of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a cluster knows of the other one; `gateways` are `host:port`, `kubeconfig` is a secret."""

    cluster: str
    gateways: tuple[str, ...]
    identity: str
    authority: bytes
    exports: Exports = field(default_factory=Exports)
    mirrors: MirrorRules = field(default_factory=MirrorRules)
    kubeconfig: str = field(repr=False)

    def secret(self) -> Manifest:
        """The Secret `landbridge-link-<cluster>` to put into the other cluster."""
        about: dict[str, Any] = {"cluster": self.cluster, "gateway": list(self.gateways), "identity": self.identity}
        policy = {"exports": self.exports.document(), "mirrors": self.mirrors.document()}
        about |= {key: value for key, value in policy.items() if value}
        data = {
            "kubeconfig": encode(self.kubeconfig.encode()),
            "link.json": encode(json.dumps(about, sort_keys=True).encode()),
            "ca.crt": encode(self.authority),
        }
        return manifests.secret(names.link_name(self.cluster), names.HOME, data)


async def link_to(there: Kubernetes, authority: bytes, options: Options) -> Link:
    """Everything that is needed to call the cluster `there`; waits for its token and its gateway's address."""
    token = await wait_for(
        lambda: _token(there), what=f"a token for {names.LINK} in {there.name}", within=30, clock=there.clock
    )
    return Link(
        cluster=there.name,
        gateways=options.gateways.get(there.name) or await gateway_addresses(there, options.patience),
        identity=spiffe(there.name, names.HOME, names.GATEWAY),
        authority=authority,
        exports=options.exports,
        mirrors=options.mirrors,
        kubeconfig=kubeconfig(there.context, there.name, token, options.addresses.get(there.name, "")),
    )


async def gateway_addresses(k8s: Kubernetes, patience: float) -> tuple[str, ...]:
    """Where the gateway's Service lets others in, as `host:port`; AccessError when nothing is assigned in time."""

    async def assigned() -> tuple[str, ...]:
        service = await k8s.get(SERVICE, names.GATEWAY, names.HOME)
        nodes = await k8s.list(NODE) if service["spec"].get("type") == "NodePort" else ()
        return addresses(service, nodes)

    try:
        return await wait_for(assigned, what="an address of the gateway", within=patience, clock=k8s.clock, every=0.5)
    except Exception as error:
        raise AccessError(
            f"the Service {names.HOME}/{names.GATEWAY} got no address within {patience:g} s",
            where=k8s.name,
            advice="look at the Service's events; where there is no load balancer name the address in migration.yaml "
            "(connect.gateways), or take nodes for it (connect.service: NodePort)",
        ) from error


def addresses(service: Mapping[str, Any], nodes: Iterable[Manifest] = ()) -> tuple[str, ...]:
    """The addresses in a LoadBalancer Service's status, all of them, for one may be a dead zone; of a NodePort Service
    those of the nodes, with the node port, which is not the Service's own.
    """
    if (service.get("spec") or {}).get("type") == "NodePort":
        port = service["spec"]["ports"][0].get("nodePort")
        return (
            tuple(f"{host}:{port}" for host in sorted(filter(None, map(_node_address, nodes)))[:NODES]) if port else ()
        )
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    hosts = [str(entry.get("ip") or entry.get("hostname") or "") for entry in ingress]
    found = sorted({f"[{host}]" if ":" in host else host for host in hosts if host})
    return tuple(f"{host}:{names.GATEWAY_PORT}" for host in found)


def kubeconfig(context: Context, cluster: str, secret: Mapping[str, str], server: str = "") -> str:
    """A kubeconfig with everything inline, for it is read in a pod; JSON, which is YAML.

    `secret` is the data of a ServiceAccount token Secret; `server` replaces the context's address.
    """
    authority = _authority(context.cluster) or secret.get("ca.crt", "")
    entry: dict[str, Any] = {"server": server or context.server, "certificate-authority-data": authority}
    if name := context.cluster.get("tls-server-name"):
        entry["tls-server-name"] = name
    token = base64.b64decode(secret["token"]).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": entry}],
        "users": [{"name": names.LINK, "user": {"token": token}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": names.LINK}}],
    }
    return json.dumps(document, sort_keys=True)


def encode(data: bytes) -> str:
    """As a Secret's data holds it."""
    return base64.b64encode(data).decode()


def decode(secret: Manifest | None, key: str) -> bytes:
    """One value of a Secret, empty when it is not there."""
    return base64.b64decode(((secret or {}).get("data") or {}).get(key) or "")


def _node_address(node: Manifest) -> str:
    """Where a ready node is reached from outside, or else at all."""
    status = node.get("status") or {}
    ready = {item["type"]: item["status"] for item in status.get("conditions") or ()}.get("Ready") == "True"
    found = {item["type"]: str(item["address"]) for item in status.get("addresses") or ()}
    host = found.get("ExternalIP") or found.get("InternalIP") or ""
    return (f"[{host}]" if ":" in host else host) if ready else ""


def _authority(cluster: Mapping[str, Any]) -> str:
    if inline := cluster.get("certificate-authority-data"):
        return str(inline)
    file = cluster.get("certificate-authority")
    return encode(Path(str(file)).read_bytes()) if file else ""


async def _token(k8s: Kubernetes) -> dict[str, str] | None:
    found = await k8s.find(SECRET, manifests.link_token()["metadata"]["name"], names.HOME)
    data: dict[str, str] = (found or {}).get("data") or {}
    return data if data.get("token") else None
