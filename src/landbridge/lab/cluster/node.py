"""One node: containerd, kubelet and kube-proxy in the node's network namespace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from landbridge.clock import Clock
from landbridge.lab.cluster.control import ControlPlane
from landbridge.lab.host import cgroups
from landbridge.lab.host.command import run
from landbridge.lab.host.packages import CNI
from landbridge.lab.host.processes import Daemon, start, wait_ready
from landbridge.lab.place import ClusterPlace, NodePlace

PAUSE = "registry.k8s.io/pause:3.10"


def _get_daemon(node: NodePlace, plane: ControlPlane, name: str, *argv: str) -> Daemon:
    return Daemon(name=name, argv=argv, folder=node.folder, mark=plane.mark, netns=node.netns)


async def start_containerd(node: NodePlace, plane: ControlPlane, *, clock: Clock) -> None:
    """Start the node's own containerd: own root, state and socket, so that it meddles with no other."""
    cni = node.folder / "cni" / "net.d"
    cni.mkdir(parents=True, exist_ok=True)
    (cni / "10-pods.conflist").write_text(json.dumps(get_cni(node)))
    config = node.folder / "containerd.toml"
    config.write_text(get_containerd_config(node, cni))
    daemon = _get_daemon(node, plane, "containerd", "containerd", "-c", str(config))
    start(daemon)

    async def answers() -> bool:
        return node.socket.exists() and bool(await run("ctr", "-a", str(node.socket), "version", check=False))

    await wait_ready(daemon, answers, within=30, clock=clock)


async def load_image(node: NodePlace, archive: Path) -> None:
    """Import an OCI archive into the node's image store."""
    await run("ctr", "-a", str(node.socket), "-n", "k8s.io", "images", "import", str(archive))


def start_kubelet(node: NodePlace, plane: ControlPlane, cluster: ClusterPlace) -> Daemon:
    """Start kubelet and return it; the node registers itself and becomes Ready some seconds later."""
    cgroups.make(node.cgroup)
    cgroups.favour_pods()
    config = node.folder / "kubelet.json"
    config.write_text(json.dumps(get_kubelet_config(node, plane, cluster)))
    daemon = _get_daemon(
        node, plane, "kubelet", str(plane.programs["kubelet"]),
        f"--kubeconfig={plane.get_kubeconfig(node.name)}", f"--config={config}",
        f"--root-dir={node.folder / 'kubelet'}", f"--cert-dir={node.folder / 'kubelet-pki'}",
        f"--hostname-override={node.name}", f"--node-ip={node.ip}", "--v=2",
    )  # fmt: skip
    start(daemon)
    return daemon


def start_proxy(node: NodePlace, plane: ControlPlane, cluster: ClusterPlace) -> None:
    """Start kube-proxy with iptables."""
    config = node.folder / "proxy.json"
    config.write_text(json.dumps(get_proxy_config(node, plane, cluster)))
    start(_get_daemon(node, plane, "kube-proxy", str(plane.programs["kube-proxy"]), f"--config={config}"))


def get_cni(node: NodePlace) -> dict[str, Any]:
    """The pods' network: a bridge in the node's namespace, addresses from the node's range."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(node.folder / "cni" / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, portmap]}


def get_containerd_config(node: NodePlace, cni: Path) -> str:
    """Settings of containerd (version 2 of the format, which 1.5 to 2.x read)."""
    state = node.run / node.name
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE no pod starts otherwise
    # netns_mounts_under_state_dir: pods' namespaces stay below our own folder and are found again there
    return f"""version = 2
root = "{node.folder}/containerd"
state = "{state}"
[grpc]
  address = "{node.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def get_kubelet_config(node: NodePlace, plane: ControlPlane, cluster: ClusterPlace) -> dict[str, Any]:
    """Settings of kubelet, for a root without CAP_SYS_RESOURCE and without a cgroup tree per quality of service."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{plane.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{plane.pki}/{node.name}.crt",
        "tlsPrivateKeyFile": f"{plane.pki}/{node.name}.key",
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "featureGates": {"KubeletInUserNamespace": True},
        "localStorageCapacityIsolation": False,
        "clusterDNS": [cluster.dns],
        "clusterDomain": "cluster.local",
        "maxPods": 250,
        "podLogsDir": str(node.folder / "podlogs"),
        "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "syncFrequency": "10s",
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "eventRecordQPS": 0,
        "resolvConf": "",
    }


def get_proxy_config(node: NodePlace, plane: ControlPlane, cluster: ClusterPlace) -> dict[str, Any]:
    """Settings of kube-proxy; it leaves conntrack's limits alone, which a namespace may not set."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(plane.get_kubeconfig("kube-proxy"))},
        "mode": "iptables",
        "clusterCIDR": cluster.pods,
        "hostnameOverride": node.name,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "1s", "syncPeriod": "30s"},
    }


def is_ready(node: Mapping[str, Any]) -> bool:
    """Whether a Node object says Ready."""
    conditions: Sequence[Mapping[str, str]] = node.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
