"""What a copy may be told: image names, digests, finalizers to keep, patches, facts of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landbridge.model.service import Manifest, ServiceId
from landbridge.settings.migration import CopyRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A user's own change: JSON Patch operations for objects of a kind whose name and namespace match globs."""

    kind: str
    name: str = "*"
    namespace: str = "*"
    operations: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Everything a copy depends on beside the object itself.

    `images` maps image prefixes; `digests` maps an image as written to `sha256:...` of what runs now; `selectors` are
    the original selectors of adopted Services; `node_ports` are (lowest, highest, taken) on the target; `networks` are
    the source's pod and service CIDRs, for which literals are looked for.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    patches: tuple[Patch, ...] = ()
    selectors: Mapping[ServiceId, Mapping[str, str]] = field(default_factory=dict)
    node_ports: tuple[int, int, frozenset[int]] = (30000, 32767, frozenset())
    networks: tuple[str, ...] = ()
    ingress_class: str = ""
    same_ip_families: bool = True


def rules_of(settings: CopyRules) -> Rules:
    """The rules that migration.yaml asks for."""
    patches = tuple(
        Patch(
            kind=entry.kind,
            name=entry.name,
            namespace=entry.namespace,
            operations=tuple(operation.model_dump(by_alias=True) for operation in entry.patch),
        )
        for entry in settings.patches
    )
    return Rules(images=settings.images, finalizers=settings.finalizers, patches=patches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The object for the target, and what a person should know about the change."""

    manifest: Manifest
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The object is not copied, and why."""

    reason: str
    note: str = ""
