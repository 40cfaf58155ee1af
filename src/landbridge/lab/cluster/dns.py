"""The cluster's DNS: CoreDNS on the node behind the Service `kube-dns`."""

from __future__ import annotations

from typing import Any

from landbridge.clients.kubernetes import Kubernetes
from landbridge.lab.cluster.control import ControlPlane
from landbridge.lab.host.processes import Daemon, start
from landbridge.lab.place import ClusterPlace

PORT = 1053
MANAGER = "landbridge-lab"


def get_corefile(ip: str, kubeconfig: str) -> str:
    """CoreDNS' settings: cluster names only, short lifetimes, for a migration moves addresses."""
    return f""".:{PORT} {{
  bind {ip}
  errors
  ready {ip}:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    ttl 5
  }}
  cache 5
}}
"""


def start_dns(plane: ControlPlane) -> None:
    """Start CoreDNS; pods reach it once `publish_dns` has made the Service."""
    corefile = plane.folder / "Corefile"
    corefile.write_text(get_corefile(plane.ip, str(plane.get_kubeconfig("coredns"))))
    start(
        Daemon(
            name="coredns",
            argv=(str(plane.programs["coredns"]), "-conf", str(corefile)),
            folder=plane.folder,
            mark=plane.mark,
            netns=plane.netns,
        )
    )


async def publish_dns(api: Kubernetes, cluster: ClusterPlace) -> None:
    """Make the Service that pods are told to ask, and point it at the node."""
    ports = [{"name": n, "port": 53, "targetPort": PORT, "protocol": p} for n, p in _PROTOCOLS]
    service = _make("v1", "Service", spec={"clusterIP": cluster.dns, "ports": ports})
    await api.apply(service, force=True, manager=MANAGER)
    endpoint = {"addresses": [cluster.ip], "conditions": {"ready": True}}
    body = _make("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", endpoints=[endpoint])
    body["metadata"]["labels"] = {"kubernetes.io/service-name": "kube-dns"}
    body["ports"] = [{"name": n, "port": PORT, "protocol": p} for n, p in _PROTOCOLS]
    await api.apply(body, force=True, manager=MANAGER)


_PROTOCOLS = (("dns", "UDP"), ("dns-tcp", "TCP"))


def _make(version: str, kind: str, **rest: object) -> dict[str, Any]:
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
