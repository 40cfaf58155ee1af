"""What a user may choose about our own parts in the clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from landbridge.model.exports import Exports, MirrorRules

IMAGE = "landbridge.dev/landbridge:0.1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How two clusters are joined.

    `namespaces` are those that move. `plane` is `builtin`, `linkerd`, or `auto` for what is found.
    `image` has landbridge and, unless `envoy_image` names another, Envoy.
    `addresses` gives the API server of a cluster as the other one reaches it, by cluster name, where that is not the
    kubeconfig's; `gateways` likewise `host:port` of a gateway whose LoadBalancer address is not the one to dial.
    `exports` is what each cluster lets the other one see, `mirrors` how that is mirrored. With `node_port` the
    gateway's Service has no load balancer but that port of every node (0: a free one); None: a LoadBalancer.
    `enforce`: waypoints keep the NetworkPolicies of what they stand before, and may read what that needs.
    `workers` are Envoy's threads: left to itself it starts one for each core of its node. Times in seconds: `drain` is
    how long held connections may go on once their waypoint or gateway ends, `hold` how much longer a request or a TCP
    connection that is in progress then (300, like an AWS load balancer's deregistration delay). `cpu` is what a
    waypoint's Envoy requests of its node, and a gateway's agent; `gateway_cpu` is for a gateway's Envoy: everything
    that crosses passes there. On a full node, with a waypoint's share and 409 Services to read anew, it took no request
    for 20 s.
    """

    namespaces: tuple[str, ...]
    plane: str = "auto"
    image: str = IMAGE
    envoy_image: str = ""
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    waypoint_pods: int = 2
    gateway_pods: int = 2
    workers: int = 2
    enforce: bool = False
    cpu: str = "100m"
    gateway_cpu: str = "200m"
    spread_hard: bool = False
    drain: float = 15.0
    hold: float = 300.0
    patience: float = 180.0
    service_annotations: Mapping[str, str] = field(default_factory=dict)
    load_balancer_class: str = ""
    node_port: int | None = None
    exports: Exports = field(default_factory=Exports)
    mirrors: MirrorRules = field(default_factory=MirrorRules)
    addresses: Mapping[str, str] = field(default_factory=dict)
    gateways: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def envoy(self) -> str:
        """The image that Envoy runs from."""
        return self.envoy_image or self.image
