"""Writes the first migration.yaml: what was found, and every setting with its default as a comment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from landbridge.model.service import ServiceId
from landbridge.settings.migration import Cluster, Migration, ServiceSettings

HEAD = """\
# The settings of a migration with landbridge: where from, where to, how carefully.
# Lines that begin with `#` after their indent show defaults; take the `#` away to change one.
# All settings: docs/migration-yaml.md. Check this file with `landbridge assess`.
"""
_LEFT_OUT = (
    "version",
    "source",
    "target",
    "namespaces",
    "services",
    "workers",
    "stores",
    "accepted",
    "copy",
    "metrics",
    "guards",
)

TAIL = """\
# Services that need something else than the defaults above.
{services}
# Data stores that both sides share: everything runs twice for a while, and so do connections.
# stores:
#   postgres: {{maxConnections: 100}}

# What counts the requests that are judged, where it is not landbridge's own waypoints.
# metrics:
#   provider: prometheus
#   plane: linkerd
#   source: {{url: "http://prometheus.{source}:9090"}}
#   target: {{url: "http://prometheus.{target}:9090"}}

# What else has to be well while services move: a breach holds them.
# guards:
#   orders: {{query: "sum(rate(orders_total[1m]))", min: 2, services: [shop/*]}}

# How objects change on their way.
# copy:
#   images: {{registry.old.example/: registry.new.example/}}
#   exclude: ["ConfigMap shop/flags"]

# Findings of `landbridge assess` that you take as they are.
# accepted:
#   - {{check: single-replica, object: "Deployment shop/notices", reason: may pause for a second, date: 2026-11-21}}
"""


def render_template(
    *,
    source: Cluster,
    target: Cluster,
    namespaces: Sequence[str],
    services: Iterable[ServiceId] = (),
) -> str:
    """The text of a new migration.yaml; `services` are listed as comments to fill in."""
    lines = [HEAD, "version: 1", ""]
    for side, cluster in (("source", source), ("target", target)):
        lines += [f"{side}:", f"  name: {quote(cluster.name)}", f"  context: {quote(cluster.context)}"]
        if cluster.kubeconfig:
            lines.append(f"  kubeconfig: {quote(cluster.kubeconfig)}")
    lines += ["", "namespaces:", *(f"  - {quote(name)}" for name in namespaces), ""]
    for name, field in Migration.model_fields.items():
        alias = field.alias or name
        if alias not in _LEFT_OUT:
            lines += _commented(alias, field)
    return "\n".join(lines) + "\n" + TAIL.format(services=_services(services), source=source.name, target=target.name)


def _commented(name: str, field: FieldInfo) -> list[str]:
    """A setting and its default as comments."""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        inner = [
            f"#   {inner.alias or key}: {quote(getattr(default, key))}  # {inner.description}"
            for key, inner in type(default).model_fields.items()
        ]
        return [f"# {name}:  # {field.description}", *inner, ""]
    return [f"# {field.description}", f"# {name}: {quote(default)}", ""]


def _services(services: Iterable[ServiceId]) -> str:
    names = sorted(services)
    known = ", ".join(field.alias or name for name, field in ServiceSettings.model_fields.items())
    lines = [f"# Each may have: {known}.", "# services:"]
    lines += [f"#   {name}: {{requestRate: 10, idempotent: false}}" for name in names or [ServiceId("shop", "web")]]
    return "\n".join(lines) + "\n"


def quote(value: Any) -> str:
    """A value as one line of YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(quote(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{quote(key)}: {quote(item)}' for key, item in value.items())}}}"
    return quote_text(str(value))


def quote_text(text: str) -> str:
    """Text as a YAML scalar: plain where every reader takes it for text, else in double quotes."""
    plain = bool(text) and text[0].isalpha() and all(c.isalnum() or c in " -_./@*" for c in text)
    plain = plain and text.isascii() and text == text.strip()
    if plain and text.lower() not in {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
