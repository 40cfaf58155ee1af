"""One cluster's API in plain dicts: get, list, watch, server-side apply, patch, scale, pods/proxy.

Follows the Kubernetes API conventions (paged lists, resourceVersion preconditions, server-side apply). Objects are
dicts on purpose: typed models drop fields that they do not know, and a copy must not. Equal strings are one string
(`cache_strings`): objects of a cluster say the same again and again, and 15,000 of them are a third smaller so.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from landbridge.clients.answers import ApiError, GoneError, NotFoundError, UnavailableError, failure
from landbridge.clients.credentials import Credentials
from landbridge.clients.http import Answer, Http, NoAnswerError, Question
from landbridge.clients.kinds import *  # noqa: F403 - one import gives a caller the client and the kinds
from landbridge.clients.kinds import KNOWN, NAMESPACE, Kind
from landbridge.clients.kubeconfig import Context, load
from landbridge.clients.together import Together
from landbridge.clock import Clock, SystemClock
from landbridge.errors import AccessError
from landbridge.model.service import Manifest

Objects = list[Manifest]  # names, because a method here is called list
Kinds = list[Kind]
PAGE = 500  # as kubectl asks
MANAGER = "landbridge"
SERVED_SECONDS = 60.0
BUSY_TRIES = 5  # answers 429 with Retry-After come from the API server's own fairness
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


class Kubernetes:
    """One cluster. Every failure is one of ours; `name` is the cluster's name in messages and labels."""

    def __init__(self, context: Context, *, name: str = "", clock: Clock | None = None) -> None:
        self.name = name or context.name
        self.context = context
        self.clock: Clock = clock or SystemClock()
        self._credentials = Credentials(context, self.clock)
        self._http = Http()
        self._tls: ssl.SSLContext | None = None
        self._generation = 0
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._served: dict[tuple[str, str], Kinds] = {}
        self._served_at = float("-inf")
        self.together = Together(self.list, self.clock)
        """Lists for those who wait in numbers."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, context: Context | str | Path, *, name: str = "", clock: Clock | None = None
    ) -> AsyncIterator[Kubernetes]:
        """A client for a Context, for the name of one, or for a kubeconfig file's current one; closed at the end."""
        if isinstance(context, Path):
            context = load(context).context()
        elif isinstance(context, str):
            context = load().context(context)
        client = cls(context, name=name, clock=clock)
        try:
            yield client
        finally:
            await client.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.together.close()
        await self._http.close()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Manifest:
        """One object; NotFoundError when there is none."""
        return await self._json("GET", kind.path(namespace, name))

    async def find(self, kind: Kind, name: str, namespace: str = "") -> Manifest | None:
        """One object, or None."""
        try:
            return await self.get(kind, name, namespace)
        except NotFoundError:
            return None

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> Objects:
        """All objects of a kind, in pages; each gets the apiVersion and kind that lists leave out."""
        items, _ = await self.list_at(kind, namespace, labels=labels, fields=fields)
        return items

    async def list_at(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        keep: Callable[[Manifest], Manifest] | None = None,
    ) -> tuple[Objects, str]:
        """The same with the resourceVersion from which a watch goes on; `keep` makes each object smaller at once."""
        items: Objects = []
        token = ""
        while True:
            query = {"limit": str(PAGE), "continue": token, "labelSelector": labels, "fieldSelector": fields}
            try:
                page = await self._json("GET", kind.path(namespace), params=query)
            except GoneError:  # the pages took longer than etcd keeps history: begin again
                if not token:
                    raise
                items, token = [], ""
                continue
            for item in page.get("items") or ():
                item["apiVersion"], item["kind"] = kind.api_version, kind.kind
                items.append(keep(item) if keep else item)
            token = page["metadata"].get("continue") or ""
            if not token:
                return items, page["metadata"].get("resourceVersion") or ""  # ComponentStatus has none

    async def create(self, manifest: Manifest, *, dry_run: bool = False, manager: str = MANAGER) -> Manifest:
        """Create an object; ConflictError when it exists."""
        kind = await self.kind_of(manifest)
        namespace = manifest["metadata"].get("namespace") or ""
        return await self._json("POST", kind.path(namespace), params=_write(manager, dry_run), content=manifest)

    async def replace(self, manifest: Manifest, *, dry_run: bool = False, manager: str = MANAGER) -> Manifest:
        """Replace an object; its resourceVersion, if given, is the condition (ConflictError)."""
        path = await self._path_of(manifest)
        return await self._json("PUT", path, params=_write(manager, dry_run), content=manifest)

    async def apply(
        self, manifest: Manifest, *, force: bool = False, dry_run: bool = False, manager: str = MANAGER
    ) -> Manifest:
        """Server-side apply; ConflictError names the other managers unless `force`."""
        query = _write(manager, dry_run) | {"force": "true" if force else "false"}
        path = await self._path_of(manifest)
        return await self._json("PATCH", path, params=query, content=manifest, media=APPLY)

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any],
        namespace: str = "",
        *,
        subresource: str = "",
        version: str = "",
        dry_run: bool = False,
        manager: str = MANAGER,
    ) -> Manifest:
        """JSON merge patch (RFC 7396); `version` makes it conditional on the resourceVersion (ConflictError)."""
        body = dict(patch)
        if version:
            body["metadata"] = {**body.get("metadata", {}), "resourceVersion": version}
        path = kind.path(namespace, name, subresource)
        return await self._json("PATCH", path, params=_write(manager, dry_run), content=body, media=MERGE)

    async def delete(
        self, kind: Kind, name: str, namespace: str = "", *, version: str = "", missing_ok: bool = True
    ) -> None:
        """Delete an object and, in the background, what it owns."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if version:
            options["preconditions"] = {"resourceVersion": version}
        try:
            await self._json("DELETE", kind.path(namespace, name), content=options)
        except NotFoundError:
            if not missing_ok:
                raise

    async def scale(self, kind: Kind, name: str, namespace: str, replicas: int) -> None:
        """Set the replicas through the scale subresource."""
        await self.patch(kind, name, {"spec": {"replicas": replicas}}, namespace, subresource="scale")

    async def logs(self, pod: str, namespace: str, container: str = "", *, tail: int | None = None) -> str:
        """What a container has printed."""
        query = {"container": container, "tailLines": str(tail) if tail is not None else ""}
        answer = await self.request("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", params=query)
        return answer.text

    async def proxy(self, pod: str, namespace: str, port: int, path: str, *, timeout: float = 2.0) -> bytes:
        """GET from a port of a pod through the API server (subresource pods/proxy)."""
        url = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path.lstrip('/')}"
        return (await self.request("GET", url, timeout=timeout)).content

    async def version(self) -> str:
        """The API server's version, as `v1.34.4`."""
        return str((await self._json("GET", "/version"))["gitVersion"])

    async def can(
        self, verb: str, resource: str, namespace: str = "", subresource: str = "", *, name: str = ""
    ) -> bool:
        """Whether we may: SelfSubjectAccessReview for a resource written as `deployments.apps`."""
        plural, _, group = resource.partition(".")
        attributes = {"verb": verb, "group": group, "resource": plural, "namespace": namespace}
        attributes |= {"subresource": subresource, "name": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", content=review)
        return bool(answer.get("status", {}).get("allowed"))

    async def resources(self) -> Kinds:
        """Every kind that can be listed, at the version the server prefers; one entry per group and kind."""
        found = [kind for versions in (await self.served()).values() for kind in versions[:1]]
        return [kind for kind in found if "list" in kind.verbs]

    async def served(self) -> dict[tuple[str, str], Kinds]:
        """Each `(group, kind)` with all versions served, the preferred one first."""
        served: dict[tuple[str, str], Kinds] = {}
        for kind in chain(*await asyncio.gather(*map(self._discover, ("/api", "/apis")))):
            served.setdefault((kind.group, kind.kind), []).append(kind)
        self._kinds = {(kind.api_version, kind.kind): kind for kinds in served.values() for kind in kinds}
        self._served, self._served_at = served, self.clock.monotonic()
        return served

    async def kinds(self) -> dict[tuple[str, str], Kinds]:
        """The same, at most a minute old: a run of hundreds of acts asks each time, and the answer is half a MB."""
        known = self._served if self.clock.monotonic() - self._served_at < SERVED_SECONDS else {}
        return known or await self.served()

    async def kind_of(self, manifest: Mapping[str, Any]) -> Kind:
        """The Kind of an object, by discovery where it is not one of ours; ApiError when it is not served."""
        key = (manifest["apiVersion"], manifest["kind"])
        if kind := KNOWN.get(key) or self._kinds.get(key):
            return kind
        await self.served()
        if kind := self._kinds.get(key):
            return kind
        raise ApiError(
            f"{key[1]} of {key[0]} is not served by the cluster {self.name!r}",
            where=self.name,
            advice="install its CustomResourceDefinition, or use a version that is served",
        )

    async def watch(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "", version: str, seconds: float = 60
    ) -> AsyncGenerator[tuple[str, Manifest], None]:
        """Changes since `version` as (ADDED | MODIFIED | DELETED | BOOKMARK, object).

        Ends when the server closes after `seconds`; a connection that is silent for longer raises AccessError, a
        version that is too old GoneError.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        query |= {"timeoutSeconds": str(int(seconds)), "labelSelector": labels, "fieldSelector": fields}
        question = await self._question("GET", kind.path(namespace), params=query, timeout=seconds + 5)
        try:
            async with self._http.stream(question) as answered:
                if isinstance(answered, Answer):
                    raise failure(answered, self.name)
                async for line in answered:
                    event = from_json(line, cache_strings="all")
                    if event["type"] == "ERROR":
                        raise GoneError("the watch is too old", where=self.name)
                    event["object"].setdefault("apiVersion", kind.api_version)
                    event["object"].setdefault("kind", kind.kind)
                    yield event["type"], event["object"]
        except NoAnswerError as error:
            raise self._unreachable(error) from error
        except ValueError:  # cut off in the middle of a line
            return

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: Any = None,
        media: str = "application/json",
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Answer:
        """One request; answers of 400 and above raise ours, 401 renews the credentials once, 429 waits and repeats."""
        renewed = False
        for attempt in range(BUSY_TRIES + 1):
            question = await self._question(
                method, path, params=params, content=content, media=media, headers=headers, timeout=timeout
            )
            try:
                answer = await self._http.ask(question)
            except NoAnswerError as error:
                raise self._unreachable(error) from error
            if answer.status == 401 and self._credentials.renewable and not renewed:
                renewed = True
                await self._credentials.refresh(force=True)
                continue
            if answer.status == 429 and attempt < BUSY_TRIES:
                await self.clock.sleep(min(float(answer.headers.get("Retry-After") or 1), 5.0))
                continue
            if answer.status >= 400:
                raise failure(answer, self.name)
            return answer
        raise UnavailableError(f"the API server of {self.name!r} is too busy", where=self.context.server)

    async def _json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: Any = None,
        media: str = "application/json",
    ) -> dict[str, Any]:
        found = await self.request(method, path, params=params, content=content, media=media)
        try:
            answer: dict[str, Any] = from_json(found.content, cache_strings="all")
        except ValueError:
            raise AccessError(
                f"{self.context.server} did not answer like a Kubernetes API server",
                where=self.name,
                advice="check the server's address in the kubeconfig, and proxies on the way",
            ) from None
        return answer

    async def _question(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: Any = None,
        media: str = "application/json",
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Question:
        """A request with the credentials of now."""
        await self._credentials.refresh()
        if self._tls is None or self._generation != self._credentials.generation:
            self._tls, self._generation = self._credentials.tls(), self._credentials.generation
        cluster = self.context.cluster
        sent = {"Accept": "application/json", "User-Agent": "landbridge", **self._credentials.headers()}
        if cluster.get("disable-compression"):
            sent["Accept-Encoding"] = "identity"
        body = None
        if content is not None:
            body = json.dumps(content, ensure_ascii=False).encode()
            sent["Content-Type"] = media
        return Question(
            method=method,
            url=self.context.server.rstrip("/") + path,
            params={key: value for key, value in (params or {}).items() if value},
            headers=sent | dict(headers or {}),
            content=body,
            seconds=timeout,
            tls=self._tls,
            server_name=cluster.get("tls-server-name"),
            proxy=cluster.get("proxy-url") or None,
        )

    async def _discover(self, root: str) -> Kinds:
        answer = (await self.request("GET", root, headers={"Accept": DISCOVERY})).json()
        return _discovered(answer) if "items" in answer else await self._old_discovery(root)

    async def _old_discovery(self, root: str) -> Kinds:
        """Discovery as servers before 1.26 have it: one request a group version."""
        answer = await self._json("GET", root)
        if root == "/api":
            versions = [("", version) for version in answer["versions"]]
        else:
            versions = [
                (group["name"], entry["version"])
                for group in answer["groups"]
                for entry in sorted(group["versions"], key=lambda v: v != group["preferredVersion"])
            ]
        kinds: Kinds = []
        for group, version in versions:
            api_version = f"{group}/{version}" if group else version
            listed = await self._json("GET", f"{root}/{api_version}")
            kinds += [
                Kind(api_version, item["kind"], item["name"], item["namespaced"], tuple(item["verbs"]))
                for item in listed["resources"]
                if "/" not in item["name"]
            ]
        return kinds

    async def _path_of(self, manifest: Manifest) -> str:
        kind = await self.kind_of(manifest)
        meta = manifest["metadata"]
        return kind.path(meta.get("namespace") or "", meta["name"])

    def _unreachable(self, error: NoAnswerError) -> UnavailableError:
        reason = str(error)
        advice = "check the network, the VPN and the server's address in the kubeconfig"
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            advice = "check certificate-authority and tls-server-name of this cluster in the kubeconfig"
        where = self.context.server
        return UnavailableError(
            f"the API server of {self.name!r} cannot be reached: {reason}", where=where, advice=advice
        )


def _write(manager: str, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": manager, "dryRun": "All" if dry_run else "", "fieldValidation": "Strict"}


def _discovered(answer: Mapping[str, Any]) -> Kinds:
    kinds: Kinds = []
    for group in answer["items"]:
        name = group["metadata"].get("name") or ""
        for entry in group["versions"]:
            api_version = f"{name}/{entry['version']}" if name else entry["version"]
            kinds += [
                Kind(
                    api_version,
                    item["responseKind"]["kind"],
                    item["resource"],
                    item["scope"] == "Namespaced",
                    tuple(item["verbs"]),
                )
                for item in entry.get("resources") or ()
                if item.get("responseKind", {}).get("kind")
            ]
    return kinds


__all__ = ["KNOWN", "NAMESPACE", "Kind", "Kubernetes"]
