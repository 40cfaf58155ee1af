"""How an agent is started."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from landbridge.agent import names
from landbridge.agent.links import LABELLED
from landbridge.envoy.names import Places
from landbridge.model.exports import Exports

ENFORCE = "enforce"


class Role(StrEnum):
    """What the Envoy beside this agent is."""

    WAYPOINT = "waypoint"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where an agent works. `admin` is `host:port` of Envoy's admin interface; `bind` is where Envoy listens, `::` for
    both families; `links` are the other clusters' names and `exports` what they may see (a gateway only); `holder`
    names this pod in elections; `policies` is `enforce` for a waypoint that keeps the NetworkPolicies of what it stands
    before; `hop_header` is where a gateway writes its cluster's name into each request that comes in (empty: nowhere).
    """

    role: Role
    namespace: str
    cluster: str
    envoy_dir: Path
    tls_dir: Path = Path("/etc/landbridge/tls")
    admin: str = "127.0.0.1:15000"
    bind: str = "::"
    serve: str = f"0.0.0.0:{names.AGENT_PORT}"
    kubeconfig: Path | None = None
    links: tuple[str, ...] = ()
    exports: Exports = LABELLED
    holder: str = ""
    uid: str = ""
    policies: str = ""
    hop_header: str = ""

    @property
    def enforces(self) -> bool:
        """Whether a waypoint keeps its Services' policies."""
        return self.policies == ENFORCE

    @property
    def places(self) -> Places:
        """The folders as Envoy sees them."""
        return Places(folder=str(self.envoy_dir), tls=str(self.tls_dir))

    @property
    def admin_at(self) -> tuple[str, int]:
        """Envoy's admin address and port."""
        host, _, port = self.admin.rpartition(":")
        return host, int(port)

    @property
    def memory_dir(self) -> Path:
        """Where the agent keeps what it must not forget: the folder above Envoy's."""
        return self.envoy_dir.parent

    def arguments(self) -> list[str]:
        """The command line that gives these options."""
        named = {
            "--role": self.role.value,
            "--namespace": self.namespace,
            "--cluster": self.cluster,
            "--envoy-dir": str(self.envoy_dir),
            "--tls-dir": str(self.tls_dir),
            "--admin": self.admin,
            "--bind": self.bind,
            "--serve": self.serve,
            "--kubeconfig": str(self.kubeconfig or ""),
            "--policies": self.policies,
            "--hop-header": self.hop_header,
        }
        found = [word for name, value in named.items() if value for word in (name, value)]
        policy = self.exports.document()
        found += ["--exports", json.dumps(policy, sort_keys=True)] if policy else []
        return found + [word for link in self.links for word in ("--link", link)]


def pod_name(environment: Mapping[str, str] = os.environ) -> str:
    """The pod's name, as the downward API gives it."""
    return environment.get("POD_NAME") or environment.get("HOSTNAME") or "agent"
