"""Makes objects fit for a file that people keep in git: no values of Secrets, no bookkeeping of the API server."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

from landbridge.model.manifest import annotations_of, kind_of
from landbridge.model.service import Manifest

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_API_VERSION = re.compile(r'"apiVersion":"([^"]+)"')
_BOOKKEEPING = ("managedFields", "resourceVersion", "generation", "selfLink")


def slim(item: Manifest) -> None:
    """Take out, in place, what a file must not or need not hold; all but the uid."""
    meta = item["metadata"]
    uid = meta.get("uid") or ""
    for field in _BOOKKEEPING:
        meta.pop(field, None)
    notes = meta.get("annotations")
    if notes and notes.pop(LAST_APPLIED, None) is not None and not notes:
        del meta["annotations"]
    kind = kind_of(item)
    if kind == "Secret":
        _close(item, uid)
    elif kind == "CustomResourceDefinition":
        for version in (item.get("spec") or {}).get("versions") or ():
            version.pop("schema", None)


def _close(item: Manifest, uid: str) -> None:
    """A Secret keeps its keys, and a digest that says whether two readings were the same."""
    data = {**(item.get("data") or {}), **(item.pop("stringData", None) or {})}
    item["digest"] = digest(data, uid)
    item["data"] = dict.fromkeys(sorted(data))


def digest(data: dict[str, str], uid: str) -> str:
    """The digest of a Secret's data, keyed by its uid, which is written nowhere.

    A plain hash of a short password could be found by trying passwords; 122 random bits of the uid forbid that.
    """
    text = json.dumps(data, sort_keys=True).encode()
    return hmac.new(uid.encode(), text, hashlib.sha256).hexdigest()


def find_version(item: Manifest) -> str:
    """The apiVersion that people wrote, where it is not the one we read (else empty): the API server converts."""
    written = annotations_of(item).get(LAST_APPLIED)
    if not written or item["kind"] == "Secret":
        return ""
    match = _API_VERSION.search(written)
    return match[1] if match and match[1] != item["apiVersion"] else ""


def is_ours(item: Manifest) -> bool:
    """Whether landbridge has applied this object."""
    return any(
        entry.get("manager") == "landbridge" and entry.get("operation") == "Apply"
        for entry in item["metadata"].get("managedFields") or ()
    )
