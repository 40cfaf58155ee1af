"""A ServiceAccount with the roles of a plan and nothing else, and what the API server's audit log says it did."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from landbridge.clients.answers import ForbiddenError
from landbridge.clients.kinds import CONFIGMAP, SERVICEACCOUNT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.connect import names
from landbridge.model.service import Manifest
from landbridge.run.preflight import missing
from landbridge.run.rights import Right
from landbridge.run.roles import roles

NAME = "runner"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
Used = set[tuple[str, str, str]]
"""(verb, resource.group/part, `landbridge`, `moves` or `cluster`)."""


@dataclass(frozen=True)
class Account:
    """The runner's account in one cluster; `admin` made it and takes its roles away."""

    admin: Kubernetes
    k8s: Kubernetes
    namespace: str
    made: Sequence[Manifest]
    audit: Path

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{NAME}"

    async def close(self) -> None:
        """The roles outside the namespace of the test go; the others go with it."""
        await self.k8s.close()
        for item in self.made:
            if item["metadata"].get("namespace") != self.namespace:
                kind = await self.admin.kind_of(item)
                await self.admin.delete(kind, item["metadata"]["name"], item["metadata"].get("namespace", ""))

    async def events(self) -> list[dict[str, Any]]:
        """Everything that it asked of the API server so far, questions about its own rights left out."""
        mark = f"mark-{secrets.token_hex(4)}"
        with suppress(ForbiddenError):
            await self.k8s.find(CONFIGMAP, mark, self.namespace)

        async def written() -> bool:
            return mark in self.audit.read_text()

        await wait_for(written, what="the audit log", within=20, clock=SystemClock(), every=0.2)
        found = []
        for line in self.audit.read_text().splitlines():
            if self.user in line and "objectRef" in line and "/mark-" not in line:
                event = json.loads(line)
                if not event["objectRef"]["resource"].startswith("selfsubject"):
                    found.append(event)
        return [event for event in found if event["user"]["username"] == self.user]

    async def used(self) -> Used:
        """What it used; an apply that made its object used `create` as well."""
        found: Used = set()
        for event in await self.events():
            ref, code = event["objectRef"], event["responseStatus"]["code"]
            assert code != 403, event
            verbs = [event["verb"], *(["create"] if event["verb"] == "patch" and code == 201 else [])]
            resource = _text(ref.get("apiGroup", ""), ref["resource"], ref.get("subresource", ""))
            found |= {(verb, resource, _place(ref.get("namespace", ""))) for verb in verbs}
        return found


def granted(rights: Iterable[Right]) -> Used:
    """The same of rights."""
    found: Used = set()
    for right in rights:
        plural, _, part = right.resource.partition("/")
        found |= {(verb, _text(right.group, plural, part), _place(right.namespace)) for verb in right.verbs}
    return found


def _text(group: str, plural: str, part: str) -> str:
    return f"{plural}{'.' if group else ''}{group}{'/' if part else ''}{part}"


def _place(namespace: str) -> str:
    return {"": "cluster", names.HOME: names.HOME}.get(namespace, "moves")


def without(rights: Iterable[Right], *taken: tuple[str, str]) -> list[Right]:
    """The rights but some (verb, resource)."""
    left = [replace(r, verbs=tuple(v for v in r.verbs if (v, r.resource) not in taken)) for r in rights]
    return [right for right in left if right.verbs]


async def account(admin: Kubernetes, namespace: str, rights: Collection[Right], audit: Path) -> Account:
    """Make the account, bind it, and wait until the API server knows."""
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    made = roles(list(rights), subject, admin.name)
    meta = {"name": NAME, "namespace": namespace}
    await admin.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    for item in made:
        await admin.apply(item)
    ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = SERVICEACCOUNT.path(namespace, NAME, "token")
    token = (await admin.request("POST", path, content=ask)).json()["status"]["token"]
    user = replace(admin.context, user={"token": token}, user_name=NAME)
    found = Account(admin, Kubernetes(user, name=admin.name), namespace, made, audit)

    async def known() -> bool:
        return not await missing(found.k8s, list(rights))

    await wait_for(known, what="the roles known to the API server", within=20, clock=SystemClock())
    return found
