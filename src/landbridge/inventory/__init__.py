"""Reading both platforms: what runs, who calls whom, who owns what."""

from collections.abc import Callable, Mapping, Sequence

from landbridge.clients.kubernetes import Kubernetes
from landbridge.inventory.kubernetes import KubernetesSource
from landbridge.inventory.source import Source

SOURCES: Mapping[str, Callable[[Kubernetes, Kubernetes, Sequence[str]], Source]] = {"kubernetes": KubernetesSource}
"""How to read every kind of old platform, by its name in migration.yaml: (source, target, namespaces) -> Source."""

__all__ = ["SOURCES", "KubernetesSource", "Source"]
