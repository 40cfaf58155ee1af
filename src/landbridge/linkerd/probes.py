"""What a mirror controller says of the gateway that it probes, from its metrics page (pure).

Names are those of the multicluster extension: `gateway_alive`, `gateway_probe_latency_ms` with the label
`target_cluster_name`. https://linkerd.io/2/reference/multicluster/
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

PORT = 9999
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Whether the last probes were answered, and within how many milliseconds (upper bounds of buckets)."""

    alive: bool
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)


def read(page: str, cluster: str) -> Probed | None:
    """The probes of one linked cluster; None where the page says nothing of it, or is none."""
    try:
        samples = list(_samples(page, cluster))
    except (ValueError, KeyError):
        return None
    alive = [value for name, _, value in samples if name == "gateway_alive"]
    if not alive:
        return None
    buckets: dict[float, float] = {}
    for name, bound, value in samples:
        if name == "gateway_probe_latency_ms_bucket":
            buckets[bound] = buckets.get(bound, 0.0) + value
    return Probed(alive=alive[-1] > 0, latency_ms={key: _quantile(buckets, q) for key, q in QUANTILES.items()})


def _samples(page: str, cluster: str) -> Iterator[tuple[str, float, float]]:
    wanted = re.compile(r"^(# |gateway_)")
    lines = "\n".join(line for line in page.splitlines() if wanted.match(line))
    for family in text_string_to_metric_families(lines + "\n"):
        for sample in family.samples:
            if sample.labels.get("target_cluster_name") == cluster:
                yield sample.name, float(sample.labels.get("le", math.nan)), sample.value


def _quantile(buckets: Mapping[float, float], q: float) -> float | None:
    total = max(buckets.values(), default=0.0)
    within = [bound for bound, count in sorted(buckets.items()) if count >= q * total and math.isfinite(bound)]
    return within[0] if within and total else None
