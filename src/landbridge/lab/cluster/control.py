"""The control plane: etcd, API server, and where wanted controller manager and scheduler."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock
from landbridge.errors import LandbridgeError
from landbridge.lab.cluster.authority import (
    Authority,
    make_account_keys,
    make_authority,
    make_kubeconfig,
    write_kubeconfig,
    write_pair,
    write_secret,
)
from landbridge.lab.host.processes import Daemon, start, wait_ready

AUDIT_POLICY = """{
  "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
  "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]
}
"""
ADMIN = "admin"
"""Who has a token, as people have with managed clusters: the API server verifies a certificate anew for each request,
which was a tenth of its work; a token it remembers."""
USERS = {
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kube-proxy": ("system:kube-proxy", ()),
    "coredns": ("coredns", ("system:masters",)),
    "balancer": ("balancer", ("system:masters",)),
}
"""Who connects to the API server: kubeconfig's name, and the certificate's user and groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """One control plane's settings; `ip` is its address, the ports differ only where several share a namespace."""

    name: str
    folder: Path
    mark: Path
    programs: Mapping[str, Path]
    ip: str
    services: str
    first_service: str
    pods: str
    netns: str = ""
    port: int = 6443
    etcd_ports: tuple[int, int] = (2379, 2380)
    owned: bool = False
    api_flags: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"https://{self.ip}:{self.port}"

    @property
    def pki(self) -> Path:
        """The folder of certificates."""
        return self.folder / "pki"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.folder / "log" / "audit.log"

    def get_kubeconfig(self, user: str) -> Path:
        """The kubeconfig of ADMIN, of one of USERS, or of a node."""
        return self.folder / f"{user}.kubeconfig"

    def daemon(self, program: str, *flags: str) -> Daemon:
        """A background process of this control plane."""
        return Daemon(
            name=program,
            argv=(str(self.programs[program]), *flags),
            folder=self.folder,
            mark=self.mark,
            netns=self.netns,
            owned=self.owned,
        )


def write_identities(plane: ControlPlane, nodes: Mapping[str, str]) -> None:
    """Make the authority, all certificates and all kubeconfigs. `nodes` maps a node's name to its address."""
    ca = make_authority(f"{plane.name}-ca")
    write_pair(plane.pki, "ca", ca.pair)
    write_pair(plane.pki, "accounts", make_account_keys())
    hosts = (plane.ip, plane.first_service, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default")
    write_pair(plane.pki, "apiserver", ca.sign("kube-apiserver", hosts=(*hosts, "kubernetes.default.svc")))
    write_pair(plane.pki, "front", ca.sign("front-proxy-client"))
    write_pair(plane.pki, "kubelet-client", ca.sign("admin", groups=("system:masters",)))
    for user, (name, groups) in USERS.items():
        _write_user(plane, ca, user, name, groups)
    token = secrets.token_urlsafe(32)
    write_secret(plane.pki / "tokens.csv", f'{token},{ADMIN},{ADMIN},"system:masters"\n'.encode())
    admin = make_kubeconfig(plane.name, plane.url, ca.pair.certificate, token)
    write_kubeconfig(plane.get_kubeconfig(ADMIN), admin)
    for node, ip in nodes.items():
        write_pair(plane.pki, node, ca.sign(f"system:node:{node}", groups=("system:nodes",), hosts=(ip, node)))
        _write_user(plane, ca, node, f"system:node:{node}", ("system:nodes",))


def _write_user(plane: ControlPlane, ca: Authority, user: str, name: str, groups: tuple[str, ...]) -> None:
    config = make_kubeconfig(plane.name, plane.url, ca.pair.certificate, ca.sign(name, groups=groups))
    write_kubeconfig(plane.get_kubeconfig(user), config)


def get_etcd(plane: ControlPlane) -> Daemon:
    """Etcd for one API server; it does not sync to disk, for a lab's data may be lost with the machine."""
    client, peer = (f"http://127.0.0.1:{port}" for port in plane.etcd_ports)
    return plane.daemon(
        "etcd", "--name=e", f"--data-dir={plane.folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=e={peer}",
    )  # fmt: skip


def get_apiserver(plane: ControlPlane) -> Daemon:
    """The API server, with an audit log of every request at level Metadata."""
    pki = plane.pki
    return plane.daemon(
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{plane.etcd_ports[0]}",
        f"--secure-port={plane.port}", f"--bind-address={plane.ip}", f"--advertise-address={plane.ip}",
        f"--service-cluster-ip-range={plane.services}",
        f"--cert-dir={pki}", f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt", f"--token-auth-file={pki}/tokens.csv",
        f"--service-account-key-file={pki}/accounts.crt", f"--service-account-signing-key-file={pki}/accounts.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
        # without it exec and logs ask DNS for the node's name, which nobody there knows
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt", f"--kubelet-client-key={pki}/kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--requestheader-client-ca-file={pki}/ca.crt", "--requestheader-allowed-names=front-proxy-client",
        f"--proxy-client-cert-file={pki}/front.crt", f"--proxy-client-key-file={pki}/front.key",
        "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--audit-policy-file={plane.folder / 'audit-policy.json'}", f"--audit-log-path={plane.audit}",
        "--audit-log-mode=batch", "--audit-log-batch-max-wait=1s", *plane.api_flags,
    )  # fmt: skip


def get_controllers(plane: ControlPlane) -> Daemon:
    """The controller manager. Its client's rate is raised: 409 Services took 20 s to get their slices otherwise."""
    config = plane.get_kubeconfig("kube-controller-manager")
    # kubelet reports each node's range in its CNI configuration; a second hand at it would only differ
    return plane.daemon(
        "kube-controller-manager", *_get_connection(config), "--leader-elect=false", "--secure-port=0",
        f"--root-ca-file={plane.pki}/ca.crt", f"--service-account-private-key-file={plane.pki}/accounts.key",
        "--use-service-account-credentials=true",
        f"--cluster-signing-cert-file={plane.pki}/ca.crt", f"--cluster-signing-key-file={plane.pki}/ca.key",
        "--kube-api-qps=200", "--kube-api-burst=400",
        "--controllers=*,-cloud-node-lifecycle-controller,-node-ipam-controller,-node-route-controller",
    )  # fmt: skip


def get_scheduler(plane: ControlPlane) -> Daemon:
    """The scheduler."""
    config = plane.get_kubeconfig("kube-scheduler")
    return plane.daemon("kube-scheduler", *_get_connection(config), "--leader-elect=false", "--secure-port=0")


def _get_connection(config: Path) -> tuple[str, ...]:
    return tuple(f"--{use}kubeconfig={config}" for use in ("", "authentication-", "authorization-"))


async def start_api(plane: ControlPlane, *, clock: Clock, within: float = 90.0) -> None:
    """Start etcd and API server together and return once `/readyz` says ok (3 to 5 s)."""
    (plane.folder / "audit-policy.json").write_text(AUDIT_POLICY)
    start(get_etcd(plane))
    await start_apiserver(plane, clock=clock, within=within)


async def start_apiserver(plane: ControlPlane, *, clock: Clock, within: float = 90.0) -> None:
    """Start the API server alone, also after it was stopped, and wait until it is ready."""
    daemon = get_apiserver(plane)
    start(daemon)
    async with Kubernetes.connect(plane.get_kubeconfig(ADMIN)) as api:

        async def is_ready() -> bool:
            try:
                return (await api.request("GET", "/readyz", timeout=2.0)).text == "ok"
            except LandbridgeError:
                return False

        await wait_ready(daemon, is_ready, within=within, clock=clock, every=0.1)
