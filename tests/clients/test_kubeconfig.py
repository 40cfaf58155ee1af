"""Kubeconfigs as people have them, read and used against a real API server."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from landbridge.clients import kubeconfig
from landbridge.clients.kinds import CLUSTERROLEBINDING, NAMESPACE, SERVICEACCOUNT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, rfc3339
from landbridge.errors import AccessError, DocumentError
from landbridge.lab import ApiServer
from tests.fakes import FakeClock

CLUSTER = {"server": "https://192.0.2.1:6443"}


def write(path: Path, *, cluster: Any = None, user: Any = None, context: str = "x", current: str = "") -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": f"c-{context}", "cluster": cluster or CLUSTER}],
        "users": [{"name": f"u-{context}", "user": user or {}}],
        "contexts": [{"name": context, "context": {"cluster": f"c-{context}", "user": f"u-{context}"}}],
        "current-context": current,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document))
    return path


def test_several_files_are_one_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "a" / "one", context="old", user={"tokenFile": "token"}, current="old")
    second = write(tmp_path / "b" / "two", context="new", current="new")
    third = write(tmp_path / "c" / "three", context="old", user={"token": "other"})
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}:{third}:{tmp_path}/none")
    config = kubeconfig.load()
    assert sorted(config.contexts) == ["new", "old"]
    assert config.context().name == "old"
    assert config.context("old").user == {"tokenFile": str(tmp_path / "a" / "token")}


def test_unknown_context_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(AccessError) as caught:
        kubeconfig.load(write(tmp_path / "k", context="legacy")).context("legasy")
    assert "did you mean 'legacy'" in caught.value.advice


@pytest.mark.parametrize("text", ["a: [", "- 1", "clusters: [{cluster: {}}]", "\x00"])
def test_file_that_is_no_kubeconfig_is_an_invalid_document(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k"
    path.write_text(text)
    with pytest.raises(DocumentError):
        kubeconfig.load(path)


def test_secrets_are_not_in_the_representation(tmp_path: Path) -> None:
    context = kubeconfig.load(write(tmp_path / "k", user={"token": "hush-hush"})).context("x")
    assert "hush" not in repr(context)


BROKEN = {
    "no user": ({"missing": "u"}, "none of the files"),
    "auth provider": ({"auth-provider": {"name": "gcp"}}, "removed"),
    "no plugin": ({"exec": {"command": "no-such-plugin-here", "installHint": "get it"}}, "cannot be started"),
    "plugin fails": ({"exec": {"command": "sh", "args": ["-c", "echo expired sso >&2; exit 3"]}}, "expired sso"),
    "plugin prints rubbish": ({"exec": {"command": "echo", "args": ["hello"]}}, "ExecCredential"),
    "no token file": ({"tokenFile": "/nonexistent/token"}, "cannot be read"),
    "no base64": ({"client-certificate-data": "###", "client-key-data": "###"}, "base64"),
}


@pytest.mark.parametrize(("user", "expected"), BROKEN.values(), ids=BROKEN.keys())
async def test_broken_user_is_an_access_error(user: dict[str, Any], expected: str) -> None:
    context = kubeconfig.Context(name="x", cluster=CLUSTER, user=user)
    async with Kubernetes.connect(context) as k8s:
        with pytest.raises(AccessError, match=expected):
            await k8s.version()


@pytest.fixture
async def token(api: ApiServer) -> AsyncIterator[str]:
    """A token of a ServiceAccount that may do everything."""
    async with Kubernetes.connect(api.kubeconfig) as k8s:
        await k8s.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "users"}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ann", "namespace": "users"}}
        await k8s.apply(account)
        await k8s.apply(
            {
                "apiVersion": CLUSTERROLEBINDING.api_version,
                "kind": CLUSTERROLEBINDING.kind,
                "metadata": {"name": "ann"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": "ann", "namespace": "users"}],
            }
        )
        answer = await k8s.request(
            "POST",
            SERVICEACCOUNT.path("users", "ann", "token"),
            content={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )
        yield answer.json()["status"]["token"]


def cluster_of(api: ApiServer) -> dict[str, Any]:
    return dict(kubeconfig.load(api.kubeconfig).context(api.context).cluster)


async def works(context: kubeconfig.Context, clock: Any = None) -> bool:
    async with Kubernetes.connect(context, clock=clock) as k8s:
        return bool(await k8s.get(NAMESPACE, "users"))


async def test_token_and_certificates_in_files(api: ApiServer, token: str, tmp_path: Path) -> None:
    config = kubeconfig.load(api.kubeconfig).context(api.context)
    authority = tmp_path / "ca.crt"
    authority.write_bytes(base64.b64decode(config.cluster["certificate-authority-data"]))
    cluster = {"server": config.server, "certificate-authority": str(authority)}
    assert await works(kubeconfig.Context(name="x", cluster=cluster, user={"token": token}))
    certified = kubeconfig.load(Path(api.kubeconfig).with_name("balancer.kubeconfig")).context(api.context)
    files = {}
    for key in ("client-certificate", "client-key"):
        files[key] = str(tmp_path / key)
        Path(files[key]).write_bytes(base64.b64decode(certified.user[f"{key}-data"]))
    assert await works(kubeconfig.Context(name="x", cluster=cluster, user=files))


async def test_token_file_is_read_again(api: ApiServer, token: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(token)
    clock = FakeClock()
    context = kubeconfig.Context(name="x", cluster=cluster_of(api), user={"tokenFile": str(file)})
    async with Kubernetes.connect(context, clock=clock) as k8s:
        assert await k8s.get(NAMESPACE, "users")
        file.write_text("revoked")
        clock.at += 61
        with pytest.raises(AccessError, match="credentials"):
            await k8s.get(NAMESPACE, "users")
        file.write_text(token)  # renewed by the kubelet: read again at the next 401
        assert await k8s.get(NAMESPACE, "users")


def plugin(tmp_path: Path, token: str, *, lifetime: float) -> dict[str, Any]:
    """An exec plugin that counts its calls; its first token is a wrong one."""
    calls, script = tmp_path / "calls", tmp_path / "get-token"
    expires = rfc3339(SystemClock().now() + lifetime)
    script.write_text(
        f'#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" >> {calls}\n'
        f"token={token}\n[ $(wc -l < {calls}) = 1 ] && token=stale\n"
        'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"\'$token\'",'
        f'"expirationTimestamp":"{expires}"}}}}\'\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"command": str(script), "provideClusterInfo": True, "env": [{"name": "A", "value": "b"}]}}


async def test_exec_plugin_is_called_again_when_refused(api: ApiServer, token: str, tmp_path: Path) -> None:
    user = plugin(tmp_path, token, lifetime=3600)
    context = kubeconfig.Context(name="x", cluster=cluster_of(api), user=user)
    async with Kubernetes.connect(context) as k8s:
        for _ in range(3):
            assert await k8s.get(NAMESPACE, "users")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    assert json.loads(calls[0])["spec"]["cluster"]["server"] == context.server


async def test_exec_plugin_is_called_before_its_token_ends(api: ApiServer, token: str, tmp_path: Path) -> None:
    clock = FakeClock(SystemClock().now())
    context = kubeconfig.Context(name="x", cluster=cluster_of(api), user=plugin(tmp_path, token, lifetime=900))
    async with Kubernetes.connect(context, clock=clock) as k8s:
        assert await k8s.get(NAMESPACE, "users")
        clock.at += 800
        assert await k8s.get(NAMESPACE, "users")
        assert len((tmp_path / "calls").read_text().splitlines()) == 2
        clock.at += 50
        assert await k8s.get(NAMESPACE, "users")
    assert len((tmp_path / "calls").read_text().splitlines()) == 3


async def test_server_name_other_than_the_address(api: ApiServer, token: str) -> None:
    cluster = cluster_of(api)
    good = {**cluster, "tls-server-name": "kubernetes.default.svc"}
    assert await works(kubeconfig.Context(name="x", cluster=good, user={"token": token}))
    wrong = {**cluster, "tls-server-name": "elsewhere.example"}
    with pytest.raises(AccessError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        await works(kubeconfig.Context(name="x", cluster=wrong, user={"token": token}))
    assert "tls-server-name" in caught.value.advice


async def test_proxy(api: ApiServer, token: str) -> None:
    tunnels: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        tunnels.append(request.split()[1])
        host, _, port = tunnels[-1].rpartition(":")
        upstream, sender = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, sender), pump(upstream, writer), return_exceptions=True)

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    cluster = {**cluster_of(api), "proxy-url": f"http://127.0.0.1:{port}"}
    assert await works(kubeconfig.Context(name="x", cluster=cluster, user={"token": token}))
    proxy.close()
    assert tunnels == [kubeconfig.Context(name="", cluster=cluster, user={}).server.removeprefix("https://")]


async def test_service_account_inside_a_cluster(
    api: ApiServer, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = kubeconfig.load(api.kubeconfig).context(api.context)
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(context.cluster["certificate-authority-data"]))
    (tmp_path / "token").write_text(token)
    (tmp_path / "namespace").write_text("users")
    host, _, port = context.server.removeprefix("https://").rpartition(":")
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    inside = kubeconfig.load().context()
    assert (inside.name, inside.namespace) == ("in-cluster", "users")
    assert await works(inside)


async def test_missing_permission_names_verb_and_resource(api: ApiServer) -> None:
    async with Kubernetes.connect(api.kubeconfig) as admin:
        await admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "poor"}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bob", "namespace": "poor"}}
        await admin.apply(account)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await admin.request("POST", SERVICEACCOUNT.path("poor", "bob", "token"), content=request)
    user = {"token": answer.json()["status"]["token"]}
    async with Kubernetes.connect(kubeconfig.Context(name="x", cluster=cluster_of(api), user=user)) as k8s:
        with pytest.raises(AccessError, match='cannot get resource "namespaces"') as caught:
            await k8s.get(NAMESPACE, "users")
        assert not await k8s.can("delete", "deployments.apps", "users")
    assert "docs/permissions.md" in caught.value.advice


async def test_server_that_is_not_there() -> None:
    context = kubeconfig.Context(name="gone", cluster={"server": "https://127.0.0.1:1"}, user={})
    async with Kubernetes.connect(context) as k8s:
        with pytest.raises(AccessError, match="cannot be reached"):
            await k8s.version()
