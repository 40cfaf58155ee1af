"""What a cluster has of Linkerd, as read once: names and types only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSeen:
    """A Link that stands in a cluster; `cluster` is the suffix of its mirrors, `ours` whether landbridge made it."""

    name: str
    cluster: str
    gateway: str = ""
    ours: bool = False
    selector: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The multicluster gateway of a cluster: where others dial it and as whom it answers; `period` in seconds."""

    addresses: tuple[str, ...]
    port: int
    identity: str
    probe_port: int
    probe_path: str = "/ready"
    period: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Linkerd:
    """Linkerd in one cluster.

    `minor` is 18 for 2.18 and 0 when the version cannot be told. `served` has a CustomResourceDefinition's name and
    the versions served. `anchors` are digests of the trust anchors that the control plane was configured with.
    `controllers` are the names of linked clusters for which a mirror controller is ready.
    """

    version: str
    minor: int
    namespace: str = "linkerd"
    domain: str = "cluster.local"
    trust_domain: str = "cluster.local"
    anchors: tuple[str, ...] = ()
    served: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bundle: str = ""
    """Version of the Gateway API definitions, as `v1.2.1`; empty when they do not say it or are not there."""
    adaptor: bool = False
    """Whether the SMI adaptor, which obeys TrafficSplits, is ready."""
    extension: str = ""
    """Namespace of the multicluster extension; empty when it is not installed."""
    door: Door | None = None
    links: tuple[LinkSeen, ...] = ()
    controllers: tuple[str, ...] = ()
    injected: tuple[str, ...] = ()
    """Namespaces whose pods get a proxy."""

    @property
    def multicluster(self) -> bool:
        """Whether it can be linked at all."""
        return bool(self.extension and self.served.get("links.multicluster.linkerd.io"))
