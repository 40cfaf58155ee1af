"""Which Services a cluster lets another see, and how they are mirrored there: one policy, read by both ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, Self

from landbridge.model.service import Manifest

EXPORTED = "mirror.linkerd.io/exported"
MIRRORED = "mirror.linkerd.io/mirrored-service"
FLAT = "remote-discovery"
"""The export label's value for a Service whose pods the other cluster dials itself."""
NEVER = frozenset({"kube-system", "kube-public", "kube-node-lease", "landbridge"})
_OURS = ("landbridge.dev/leaf-of", "landbridge.dev/role")
_MANAGED_BY = "app.kubernetes.io/managed-by"
_DOOR = "mirror.linkerd.io/multicluster-gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """What is exported.

    `everything` exports whatever is no mirror, instead of what has the label. `include` and `exclude` are patterns of
    `namespace/name` (`*` and `?` match; none to include means all). `exclude_ports` has by such a pattern the ports
    (by number or name) that stay at home. A mirror is never exported again, whatever the policy says.
    """

    everything: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_ports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def selector(self) -> str:
        """The label selector to list by: everything that this policy can export, and no mirror."""
        return f"!{MIRRORED}" if self.everything else f"{EXPORTED} in (true,{FLAT}),!{MIRRORED}"

    def covers(self, service: Manifest) -> bool:
        """Whether a Service is exported."""
        meta = service["metadata"]
        labels, namespace = meta.get("labels") or {}, meta.get("namespace") or ""
        place = f"{namespace}/{meta['name']}"
        if MIRRORED in labels or any(key in labels for key in _OURS):
            return False
        if not self.everything and labels.get(EXPORTED) not in ("true", FLAT):
            return False
        if self.everything and (namespace in NEVER or place == "default/kubernetes" or _is_door(meta)):
            return False
        if self.everything and labels.get(_MANAGED_BY) == "landbridge":  # trusted callers' own Service
            return False
        if self.everything and (service.get("spec") or {}).get("type") == "ExternalName":
            return False
        return (not self.include or _any(place, self.include)) and not _any(place, self.exclude)

    def ports(self, service: Manifest) -> list[Mapping[str, Any]]:
        """The ports of a Service that are exported."""
        meta = service["metadata"]
        place = f"{meta.get('namespace') or ''}/{meta['name']}"
        kept_home = {port for pattern, ports in self.exclude_ports.items() if _any(place, (pattern,)) for port in ports}
        ports = (service.get("spec") or {}).get("ports") or ()
        return [port for port in ports if not {str(port.get("port")), str(port.get("name") or "")} & kept_home]

    def document(self) -> dict[str, Any]:
        """As the link and the gateway's arguments hold it; what is as by default is left out."""
        return _document(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The policy of a document; unknown names are left alone, for a link may be newer than its reader."""
        ports = {str(key): tuple(map(str, value)) for key, value in (document.get("exclude_ports") or {}).items()}
        return cls(
            everything=bool(document.get("everything")),
            include=_texts(document, "include"),
            exclude=_texts(document, "exclude"),
            exclude_ports=ports,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorRules:
    """How exported Services are mirrored.

    `headless` gives each pod with a host name a mirror of its own. `excluded_labels` and `excluded_annotations` are not
    copied, besides those that other controllers act upon: exact keys, or `prefix/*`.
    """

    headless: bool = False
    excluded_labels: tuple[str, ...] = ()
    excluded_annotations: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As the link holds it; what is as by default is left out."""
        return _document(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The rules of a document."""
        return cls(
            headless=bool(document.get("headless")),
            excluded_labels=_texts(document, "excluded_labels"),
            excluded_annotations=_texts(document, "excluded_annotations"),
        )


def is_flat(service: Manifest) -> bool:
    """Whether a Service's pods are to be dialled without a gateway."""
    return bool((service["metadata"].get("labels") or {}).get(EXPORTED) == FLAT)


def matches(key: str, patterns: Sequence[str]) -> bool:
    """Whether a label's or annotation's key is one of these, exactly or by `prefix/*`."""
    return any(key.startswith(item[:-1]) if item.endswith("/*") else key == item for item in patterns)


def _is_door(meta: Mapping[str, Any]) -> bool:
    return (meta.get("annotations") or {}).get(_DOOR) == "true"


def _any(place: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(place, pattern) for pattern in patterns)


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(map(str, document.get(name) or ()))


def _document(item: Exports | MirrorRules) -> dict[str, Any]:
    usual = {each.name: getattr(type(item)(), each.name) for each in fields(item)}
    found = {key: value for key, value in asdict(item).items() if value != usual[key]}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}
