"""Copies objects from the source to the target: dry run first, server-side apply, nobody else's object touched.

Secrets go from API to API: their values are in no receipt, no message and no file.
"""

from __future__ import annotations

import copy as copying
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from landbridge.clients.answers import NotFoundError
from landbridge.clients.kinds import Kind
from landbridge.clients.kubernetes import MANAGER, Kubernetes
from landbridge.errors import BlockedError, LandbridgeError
from landbridge.model.journal import Receipt
from landbridge.model.service import Manifest, ObjectRef, Side
from landbridge.translate.kubernetes import order, transform
from landbridge.translate.rules import Drop, Rules

Say = Callable[[str], None]
SHARED = frozenset({"Namespace", "ServiceAccount"})  # every cluster has some of its own: ours is merged into them

KEPT = ("replicas", "suspend")  # whoever scaled it or opened it since the first copy goes on owning that


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a copy did: receipts of what was written, and notes about everything else."""

    receipts: tuple[Receipt, ...]
    notes: tuple[str, ...]


async def copy(
    source: Kubernetes,
    target: Kubernetes,
    objects: Sequence[ObjectRef],
    rules: Rules,
    *,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> Copied:
    """Copy `objects` in the order of creation; a second copy writes nothing.

    The server of the target checks every object in a dry run before the first is written (Namespaces apart, for
    without them nothing can be checked). BlockedError lists everything that it refuses.
    """
    wanted, notes = await _translate(source, target, objects, rules)
    receipts: list[Receipt] = []
    for manifest in [m for m in wanted if m["kind"] == "Namespace"]:
        receipts += await _write(target, manifest, notes, dry_run=dry_run)
    rest = [m for m in wanted if m["kind"] != "Namespace"]
    changes = await _changes(target, rest, notes, tolerate_missing_namespace=dry_run)
    for manifest, prior in changes:
        say(f"{'would copy' if dry_run else 'copy'} {ObjectRef.of(manifest)}")
        if not dry_run:
            await target.apply(manifest)
        receipts.append(_receipt(manifest, prior))
    return Copied(receipts=tuple(receipts), notes=tuple(notes))


async def undo_copy(target: Kubernetes, receipts: Iterable[Receipt]) -> tuple[str, ...]:
    """Take away what a copy created and put back what it changed; the notes say what was left, and why.

    Namespaces stay: deleting one would delete what others have put there meanwhile.
    """
    notes: list[str] = []
    for receipt in reversed(list(receipts)):
        if receipt.ref.kind in SHARED:
            notes.append(f"{receipt.ref} stays on the target")
            continue
        kind = await _kind(target, receipt.ref)
        live = await target.find(kind, receipt.ref.name, receipt.ref.namespace)
        if live is None:
            continue
        if not ours(live):
            notes.append(f"{receipt.ref} was taken over by another writer and stays")
        elif receipt.prior is None:
            await target.delete(kind, receipt.ref.name, receipt.ref.namespace)
        elif receipt.ref.kind != "Secret":
            await target.apply(_bare(receipt.prior), force=True)
    return tuple(notes)


def ours(live: Manifest) -> bool:
    """Whether landbridge applied this object."""
    entries = live["metadata"].get("managedFields") or ()
    return any(entry.get("manager") == MANAGER and entry.get("operation") == "Apply" for entry in entries)


async def _translate(
    source: Kubernetes, target: Kubernetes, objects: Sequence[ObjectRef], rules: Rules
) -> tuple[list[Manifest], list[str]]:
    notes: list[str] = []
    wanted: list[Manifest] = []
    for ref in dict.fromkeys(objects):
        kind = await _common(source, target, ref)
        try:
            original = await source.get(kind, ref.name, ref.namespace)
        except NotFoundError:
            notes.append(f"{ref} is gone from the source")
            continue
        answer = transform(original, rules)
        if isinstance(answer, Drop):
            notes.append(f"{ref} is not copied: {answer.reason}" + (f"; {answer.note}" if answer.note else ""))
            continue
        notes += [f"{ref}: {note}" for note in answer.notes]
        wanted.append(answer.manifest)
    return sorted(wanted, key=lambda m: (order(m["kind"]), str(ObjectRef.of(m)))), notes


async def _common(source: Kubernetes, target: Kubernetes, ref: ObjectRef) -> Kind:
    """The kind at a version that both serve, the target's preferred one first: the source's server converts."""
    group = ref.api_version.rpartition("/")[0]
    here, there = await source.kinds(), await target.kinds()
    served = {kind.api_version for kind in here.get((group, ref.kind), ())}
    for kind in there.get((group, ref.kind), ()):
        if kind.api_version in served:
            return kind
    raise BlockedError(
        f"{ref} cannot be copied: no version of {ref.kind}.{group or 'core'} is served by both clusters",
        where=target.name,
        advice="install its CustomResourceDefinition on the target, or leave it out in migration.yaml",
    )


async def _kind(k8s: Kubernetes, ref: ObjectRef) -> Kind:
    return await k8s.kind_of({"apiVersion": ref.api_version, "kind": ref.kind})


async def _changes(
    target: Kubernetes, wanted: Sequence[Manifest], notes: list[str], *, tolerate_missing_namespace: bool
) -> list[tuple[Manifest, Manifest | None]]:
    """What has to be written, with what stands there now; the server has agreed to all of it in a dry run."""
    changes: list[tuple[Manifest, Manifest | None]] = []
    refused: list[str] = []
    for manifest in wanted:
        try:
            change = await _change(target, manifest, notes)
        except NotFoundError as error:
            if not tolerate_missing_namespace:
                refused.append(f"{ObjectRef.of(manifest)}: {error.what}")
                continue
            change = (manifest, None)
        except LandbridgeError as error:
            refused.append(f"{ObjectRef.of(manifest)}: {error.what}")
            continue
        if change:
            changes.append(change)
    if refused:
        raise BlockedError(
            f"the target refuses {len(refused)} of {len(wanted)} objects:\n  " + "\n  ".join(refused),
            where=target.name,
            advice="mend them, add a patch to migration.yaml, or leave them out; nothing was written",
        )
    return changes


async def _change(target: Kubernetes, manifest: Manifest, notes: list[str]) -> tuple[Manifest, Manifest | None] | None:
    ref = ObjectRef.of(manifest)
    kind = await target.kind_of(manifest)
    live = await target.find(kind, ref.name, ref.namespace)
    if live is not None and not ours(live) and ref.kind not in SHARED:
        notes.append(f"{ref} exists on the target and belongs to somebody else: left as it is")
        return None
    for field in KEPT:
        if live is not None and field in (live.get("spec") or {}) and field in (manifest.get("spec") or {}):
            manifest["spec"][field] = live["spec"][field]
    result = await target.apply(manifest, dry_run=True)
    if live is not None and _bare(result) == _bare(live) and (ours(live) or ref.kind in SHARED):
        return None
    return manifest, live


async def _write(target: Kubernetes, manifest: Manifest, notes: list[str], *, dry_run: bool) -> list[Receipt]:
    change = await _change(target, manifest, notes)
    if change is None:
        return []
    if not dry_run:
        await target.apply(manifest)
    return [_receipt(*change)]


def _receipt(manifest: Manifest, prior: Manifest | None) -> Receipt:
    version = prior["metadata"]["resourceVersion"] if prior else ""
    kept: dict[str, Any] | None = _bare(prior) if prior else None
    if kept is not None and manifest["kind"] == "Secret":
        data = json.dumps([kept.pop("data", None), kept.pop("stringData", None)], sort_keys=True)
        kept["digest"] = hashlib.sha256(data.encode()).hexdigest()
    return Receipt(side=Side.TARGET, ref=ObjectRef.of(manifest), prior=kept, version=version)


def _bare(manifest: Any) -> dict[str, Any]:
    """An object without what the server sets, for comparing and for keeping."""
    bare: dict[str, Any] = copying.deepcopy(dict(manifest))
    bare.pop("status", None)
    for key in ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"):
        bare["metadata"].pop(key, None)
    return bare
