"""What a cluster has of Linkerd, from the objects read there (pure); reading them is clients/linkerd.py's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from landbridge.linkerd.versions import DEFINITIONS, GATEWAY_ROUTES, read_minor, version_of
from landbridge.model.linkerd import Door, Linkerd, LinkSeen
from landbridge.model.manifest import NONE, annotations_of, labels_of, name_of, namespace_of
from landbridge.model.service import Manifest

BUNDLE = "gateway.networking.k8s.io/bundle-version"
EXTENSION = "linkerd.io/extension"
INJECT = "linkerd.io/inject"
IDENTITY = "mirror.linkerd.io/gateway-identity"
MANAGED_BY = "app.kubernetes.io/managed-by"
DEFAULT_DOMAIN = "cluster.local"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The objects that detection looks at; whatever is not there is empty."""

    config: Manifest | None
    definitions: tuple[Manifest, ...] = ()
    deployments: tuple[Manifest, ...] = ()
    """Those called `smi-adaptor`, and those of the multicluster extension's namespace."""
    services: tuple[Manifest, ...] = ()
    """Those of the multicluster extension's namespace."""
    links: tuple[Manifest, ...] = ()
    namespaces: tuple[Manifest, ...] = ()


def find(read: Read) -> Linkerd | None:
    """Linkerd as a cluster has it; None without its configuration, which every installation has."""
    if read.config is None:
        return None
    values = _values(read.config)
    version = str(values.get("linkerdVersion") or "")
    minor = read_minor(version)
    extension = extension_of(read.namespaces)
    definitions = {name_of(item): item for item in read.definitions}
    return Linkerd(
        version=version,
        minor=minor,
        namespace=namespace_of(read.config) or "linkerd",
        domain=str(values.get("clusterDomain") or DEFAULT_DOMAIN),
        trust_domain=str(values.get("identityTrustDomain") or values.get("clusterDomain") or DEFAULT_DOMAIN),
        anchors=anchors(str(values.get("identityTrustAnchorsPEM") or "")),
        served={name: served(definitions[name]) for name in DEFINITIONS if name in definitions},
        bundle=annotations_of(definitions.get(GATEWAY_ROUTES, {"metadata": {}})).get(BUNDLE, ""),
        adaptor=any(name_of(item) == "smi-adaptor" and is_ready(item) for item in read.deployments),
        extension=extension,
        door=next(iter(_doors(read.services)), None),
        links=tuple(sorted(map(_link, read.links), key=lambda link: link.name)),
        controllers=tuple(sorted(_controllers(read.deployments, minor, extension))),
        injected=tuple(sorted(name_of(item) for item in read.namespaces if is_injected(item))),
    )


def extension_of(namespaces: Iterable[Manifest]) -> str:
    """The namespace of the multicluster extension; empty without one."""
    return next((name_of(item) for item in namespaces if labels_of(item).get(EXTENSION) == "multicluster"), "")


def is_injected(namespace: Manifest) -> bool:
    """Whether pods of a namespace get a proxy unless they say no."""
    return annotations_of(namespace).get(INJECT) in {"enabled", "ingress"}


def served(definition: Manifest) -> tuple[str, ...]:
    """The versions that a CustomResourceDefinition serves."""
    versions = (definition.get("spec") or NONE).get("versions") or ()
    return tuple(str(version["name"]) for version in versions if version.get("served"))


def is_ready(deployment: Manifest) -> bool:
    """Whether a Deployment has a pod that is available."""
    return int((deployment.get("status") or NONE).get("availableReplicas") or 0) > 0


def anchors(pem: str) -> tuple[str, ...]:
    """Digests of the certificates in a bundle, sorted: two clusters trust the same when these are equal."""
    found = {re.sub(r"\s", "", block) for block in _PEM.findall(pem)}
    return tuple(sorted(hashlib.sha256(block.encode()).hexdigest() for block in found))


def _values(config: Manifest) -> Mapping[str, Any]:
    """The chart's values, which the ConfigMap holds as text."""
    try:
        found = yaml.load(str((config.get("data") or NONE).get("values") or ""), Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return NONE
    return found if isinstance(found, dict) else NONE


def _link(manifest: Manifest) -> LinkSeen:
    spec = manifest.get("spec") or NONE
    return LinkSeen(
        name=name_of(manifest),
        cluster=str(spec.get("targetClusterName") or ""),
        gateway=str(spec.get("gatewayAddress") or ""),
        ours=labels_of(manifest).get(MANAGED_BY) == "landbridge",
        selector=dict(spec.get("selector") or NONE),
    )


def _controllers(deployments: Iterable[Manifest], minor: int, extension: str) -> Iterator[str]:
    """Both ways of naming are looked for: an extension may be older or newer than its control plane."""
    known = version_of(minor)
    heads = {"controller-", "linkerd-service-mirror-"} | ({known.controller} if known else set())
    for item in deployments:
        if namespace_of(item) == extension and is_ready(item):
            yield from (name_of(item).removeprefix(head) for head in heads if name_of(item).startswith(head))


def _doors(services: Iterable[Manifest]) -> Iterator[Door]:
    for item in sorted(services, key=lambda found: name_of(found) != "linkerd-gateway"):
        notes = annotations_of(item)
        ports = {port.get("name"): port for port in (item.get("spec") or NONE).get("ports") or ()}
        if notes.get("mirror.linkerd.io/multicluster-gateway") != "true" or not {"mc-gateway", "mc-probe"} <= set(
            ports
        ):
            continue
        ingress = ((item.get("status") or NONE).get("loadBalancer") or NONE).get("ingress") or ()
        yield Door(
            addresses=tuple(sorted(str(entry.get("ip") or entry.get("hostname")) for entry in ingress)),
            port=_port(item, ports["mc-gateway"]),
            identity=notes.get(IDENTITY, ""),
            probe_port=_port(item, ports["mc-probe"]),
            probe_path=notes.get("mirror.linkerd.io/probe-path", "/ready"),
            period=int(notes.get("mirror.linkerd.io/probe-period") or 3),
        )


def _port(service: Manifest, port: Mapping[str, Any]) -> int:
    """The port that others dial: of a NodePort Service the node's."""
    node = (service.get("spec") or NONE).get("type") == "NodePort"
    return int(port["nodePort"] if node and port.get("nodePort") else port["port"])
