"""What landbridge writes for each version of Linkerd; `python -m tests.linkerd.golden` writes the files again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from landbridge.linkerd import access, link
from landbridge.linkerd.link import Link
from landbridge.linkerd.mechanism import Choice, choose
from landbridge.linkerd.versions import VERSIONS
from landbridge.model.linkerd import Linkerd
from landbridge.model.service import Manifest, Protocol, ServiceId
from landbridge.translate import splits
from tests.linkerd.definitions import MINORS
from tests.linkerd.world import linkerd, named

FOLDER = Path(__file__).parent
WEB, DB = ServiceId("shop", "web"), ServiceId("shop", "db")
LABELS = {"app.kubernetes.io/managed-by": "landbridge"}
WEIGHTS = {WEB: {"web": 95, "web-eks": 5}, DB: {"db": 100, "db-eks": 0}}
PORTS = {WEB: [80], DB: [5432]}
API_VERSION = {"httproute": "gateway.networking.k8s.io/v1", "httproute-v1beta1": "gateway.networking.k8s.io/v1beta1"}


def written(minor: int, *, gateway_api: bool = True) -> list[Manifest]:
    """Everything for one version: the account there, the Link here, and the splits of an HTTP and a TCP Service."""
    here = linkerd(minor, gateway_api=gateway_api)
    assert here.door is not None
    one = Link(here=here, there=here, cluster="eks", door=here.door, kubeconfig="{}", labels=LABELS)
    every = Link(here=here, there=here, cluster="all", door=here.door, selector=link.ALL, labels=LABELS)
    made = [
        *access.account(here, LABELS),
        *link.secrets(one),
        *(link.manifest(it, VERSIONS[minor]) for it in (one, every)),
    ]
    return [*made, split(here, WEB, Protocol.HTTP), *tcp(here)]


def split(here: Linkerd, service: ServiceId, protocol: Protocol) -> Manifest:
    chosen = choose(here, service, (protocol,), ())
    assert isinstance(chosen, Choice)
    weights = WEIGHTS[service]
    match chosen.router:
        case "trafficsplit":
            spec = splits.trafficsplit(service, weights)
            return named("split.smi-spec.io/v1alpha2", "TrafficSplit", service.name, service.namespace, spec=spec)
        case router:
            api = API_VERSION.get(router, "policy.linkerd.io/v1beta3")
            spec = splits.httproute(service, PORTS[service], weights)
            return named(api, "HTTPRoute", service.name, service.namespace, spec=spec)


def tcp(here: Linkerd) -> Iterator[Manifest]:
    """As the split is declared, and the profile that the adaptor should make of it or that is written without one."""
    yield split(here, DB, Protocol.TCP)
    spec = {"dstOverrides": splits.overrides("shop", here.domain, WEIGHTS[DB])}
    yield named("linkerd.io/v1alpha2", "ServiceProfile", "db.shop.svc.cluster.local", "shop", spec=spec)


def text(minor: int) -> str:
    return yaml.safe_dump_all(written(minor), sort_keys=False, width=120)


def main() -> None:
    for minor in MINORS:
        (FOLDER / f"2.{minor}.yaml").write_text(text(minor))
