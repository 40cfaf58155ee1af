"""Reads what a cluster has of Linkerd; nothing is written, and what may not be read is as if it were not there."""

from __future__ import annotations

import asyncio

from landbridge.clients.answers import ForbiddenError, NotFoundError
from landbridge.clients.kinds import CONFIGMAP, CRD, DEPLOYMENT, LINK, NAMESPACE, SERVICE, Kind
from landbridge.clients.kubernetes import Kubernetes
from landbridge.linkerd.found import Read, extension_of, find
from landbridge.linkerd.versions import DEFINITIONS, LINKS
from landbridge.model.linkerd import Linkerd
from landbridge.model.service import Manifest

CONFIG = "linkerd-config"


async def detect(k8s: Kubernetes) -> Linkerd | None:
    """Linkerd in a cluster, None where there is none; a dozen requests at most."""
    configs = await _list(k8s, CONFIGMAP, fields=f"metadata.name={CONFIG}")
    config = next(iter(configs), None) or await _find(k8s, CONFIGMAP, CONFIG, "linkerd")
    if config is None:
        return None
    definitions = await asyncio.gather(*(_find(k8s, CRD, name) for name in DEFINITIONS))
    defined = tuple(item for item in definitions if item)
    namespaces = await _list(k8s, NAMESPACE)
    extension = extension_of(namespaces)
    linkable = extension and any(item["metadata"]["name"] == LINKS for item in defined)
    adaptors, controllers, services, linked = await asyncio.gather(
        _list(k8s, DEPLOYMENT, fields="metadata.name=smi-adaptor"),
        _list(k8s, DEPLOYMENT, extension) if extension else _nothing(),
        _list(k8s, SERVICE, extension) if extension else _nothing(),
        links(k8s, extension) if linkable else _nothing(),
    )
    return find(
        Read(
            config=config,
            definitions=defined,
            deployments=(*adaptors, *controllers),
            services=tuple(services),
            links=tuple(linked),
            namespaces=tuple(namespaces),
        )
    )


def link_kind(version: str) -> Kind:
    """The kind of Links of a version."""
    return Kind(f"{LINK.group}/{version}", LINK.kind, LINK.plural)


async def links(k8s: Kubernetes, extension: str) -> list[Manifest]:
    """The Links of the extension's namespace, at the version that the cluster prefers."""
    kinds = (await k8s.served()).get((LINK.group, LINK.kind)) or [LINK]
    return await _list(k8s, kinds[0], extension)


async def _nothing() -> list[Manifest]:
    return []


async def _list(k8s: Kubernetes, kind: Kind, namespace: str = "", *, fields: str = "") -> list[Manifest]:
    try:
        return await k8s.list(kind, namespace, fields=fields)
    except (ForbiddenError, NotFoundError):
        return []


async def _find(k8s: Kubernetes, kind: Kind, name: str, namespace: str = "") -> Manifest | None:
    try:
        return await k8s.find(kind, name, namespace)
    except ForbiddenError:
        return None
