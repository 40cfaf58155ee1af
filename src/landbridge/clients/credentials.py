"""Who we are to an API server, renewed when it runs out: tokens, token files, certificates, exec plugins."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landbridge.clients.kubeconfig import Context
from landbridge.clock import Clock, parse_rfc3339
from landbridge.errors import AccessError

TOKEN_FILE_SECONDS = 60.0  # client-go reads a token file again after a minute: projected tokens rotate
EARLY_SECONDS = 60.0  # before an exec credential's expirationTimestamp it is renewed, at most a quarter of its life


class Credentials:
    """Answers with the Authorization header and the TLS settings of one context, fresh when they must be.

    Raises AccessError, with what to do, for everything a kubeconfig can have wrong. Values are never printed.
    """

    def __init__(self, context: Context, clock: Clock) -> None:
        self.context = context
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._certificate: tuple[str, str] | None = None
        self._until = 0.0
        self.generation = 0

    async def refresh(self, *, force: bool = False) -> None:
        """Make sure that what we hold is valid now; `force` after the server said 401."""
        async with self._lock:
            if self.generation and not force and self._clock.now() < self._until:
                return
            before = self._certificate
            self._until = float("inf")
            await self._renew()
            if before != self._certificate or not self.generation:
                self.generation += 1

    @property
    def renewable(self) -> bool:
        """Whether another try after a 401 can help."""
        return "exec" in self.context.user or "tokenFile" in self.context.user

    def headers(self) -> dict[str, str]:
        """The headers that say who we are."""
        user = self.context.user
        if self._token:
            return {"Authorization": f"Bearer {self._token}"}
        if "username" in user:
            pair = f"{user['username']}:{user.get('password', '')}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        return {}

    def tls(self) -> ssl.SSLContext:
        """The TLS settings: the cluster's CA and our certificate."""
        cluster = self.context.cluster
        tls = ssl.create_default_context()
        if cluster.get("insecure-skip-tls-verify"):
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        elif authority := self._material(cluster, "certificate-authority"):
            tls = ssl.create_default_context(cadata=authority)
        if self._certificate:
            load_chain(tls, *self._certificate)
        return tls

    async def _renew(self) -> None:
        user = self.context.user
        if "missing" in self.context.cluster:
            raise self._error(f"its cluster {self.context.cluster['missing']!r} is in none of the files")
        if "missing" in user:
            raise self._error(f"its user {user['missing']!r} is in none of the files")
        if "auth-provider" in user:
            raise self._error(
                "auth-provider was removed from Kubernetes in 1.26", "use an exec plugin of your cloud instead"
            )
        if "exec" in user:
            await self._exec(user["exec"])
            return
        if file := user.get("tokenFile"):
            self._token = self._file(file).strip()
            self._until = self._clock.now() + TOKEN_FILE_SECONDS
        else:
            self._token = user.get("token") or ""
        certificate = self._material(user, "client-certificate")
        key = self._material(user, "client-key")
        self._certificate = (certificate, key) if certificate and key else None

    async def _exec(self, plugin: Mapping[str, Any]) -> None:
        command = [plugin["command"], *(plugin.get("args") or [])]
        environment = dict(os.environ) | {item["name"]: item["value"] for item in plugin.get("env") or []}
        environment["KUBERNETES_EXEC_INFO"] = json.dumps(self._exec_info(plugin))
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            hint = plugin.get("installHint") or f"install {plugin['command']!r} or correct the kubeconfig"
            raise self._error(f"its exec plugin cannot be started: {error.strerror}", hint) from None
        out, err = await process.communicate()
        if process.returncode:
            tail = err.decode(errors="replace").strip().splitlines()[-1:] or [""]
            raise self._error(f"its exec plugin {plugin['command']!r} ended with {process.returncode}: {tail[0]}")
        try:
            status = json.loads(out)["status"]
            expires = status.get("expirationTimestamp")
            self._until = self._renewal(parse_rfc3339(expires)) if expires else float("inf")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._error(f"its exec plugin {plugin['command']!r} did not print an ExecCredential") from None
        self._token = status.get("token") or ""
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        self._certificate = (certificate, key) if certificate and key else None

    def _renewal(self, expires: float) -> float:
        return expires - min(EARLY_SECONDS, (expires - self._clock.now()) / 4)

    def _exec_info(self, plugin: Mapping[str, Any]) -> dict[str, Any]:
        spec: dict[str, Any] = {"interactive": False}
        if plugin.get("provideClusterInfo"):
            names = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
            spec["cluster"] = {name: self.context.cluster[name] for name in names if name in self.context.cluster}
        version = plugin.get("apiVersion", "client.authentication.k8s.io/v1")
        return {"kind": "ExecCredential", "apiVersion": version, "spec": spec}

    def _material(self, entry: Mapping[str, Any], key: str) -> str:
        if data := entry.get(f"{key}-data"):
            try:
                return base64.b64decode(data, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise self._error(f"{key}-data is not base64 of PEM") from None
        return self._file(entry[key]) if entry.get(key) else ""

    def _file(self, path: str) -> str:
        try:
            return Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None

    def _error(self, what: str, advice: str = "") -> AccessError:
        return AccessError(
            f"the context {self.context.name!r} cannot be used: {what}", where="KUBECONFIG", advice=advice
        )


def load_chain(tls: ssl.SSLContext, certificate: str, key: str) -> None:
    """Give a certificate and its key to TLS; a file in memory, because ssl reads files only and a key is secret."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("landbridge-tls", os.MFD_CLOEXEC)
        path = f"/proc/self/fd/{descriptor}"
    else:  # pragma: no cover - macOS
        descriptor, path = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "w", closefd=False) as file:
            file.write(certificate.rstrip() + "\n" + key)
        tls.load_cert_chain(path)
    except ssl.SSLError as error:
        raise AccessError(f"the client certificate of the kubeconfig cannot be used: {error.reason}") from None
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):  # pragma: no cover
            Path(path).unlink()
