"""All metrics providers by the name that migration.yaml uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from landbridge.clients.kubernetes import Kubernetes
from landbridge.clients.prometheus import Prometheus
from landbridge.clock import Clock
from landbridge.model.service import Side
from landbridge.observe.envoy import EnvoyProvider
from landbridge.observe.planes import PLANES
from landbridge.observe.prometheus import PrometheusProvider
from landbridge.observe.provider import MetricsProvider
from landbridge.observe.samples import Rules
from landbridge.settings.judging import Metrics

Provide = Callable[[Metrics, Kubernetes, Kubernetes, Clock], AbstractAsyncContextManager[MetricsProvider]]


@asynccontextmanager
async def envoy(
    metrics: Metrics, source: Kubernetes, target: Kubernetes, clock: Clock
) -> AsyncIterator[MetricsProvider]:
    """The waypoints' counters, through the API servers."""
    del metrics  # it needs none
    yield EnvoyProvider(source, target, clock)


@asynccontextmanager
async def prometheus(
    metrics: Metrics, source: Kubernetes, target: Kubernetes, clock: Clock
) -> AsyncIterator[MetricsProvider]:
    """The callers' counters, from the Prometheus of each cluster."""
    async with clients(metrics) as found:
        ends = {Side.SOURCE: metrics.source, Side.TARGET: metrics.target}
        yield PrometheusProvider(
            found,
            {Side.SOURCE: source.name, Side.TARGET: target.name},
            clock,
            rules=Rules(plane=PLANES[metrics.plane], silence=metrics.silence, strata=metrics.strata),
            matchers={side: end.matchers for side, end in ends.items() if end},
            every=metrics.every,
        )


@asynccontextmanager
async def clients(metrics: Metrics) -> AsyncIterator[Mapping[Side, Prometheus]]:
    """The Prometheus of each cluster that has one."""
    ends = {Side.SOURCE: metrics.source, Side.TARGET: metrics.target}
    found = {
        side: Prometheus(end.url, token_file=end.token_file, ca_file=end.ca_file) for side, end in ends.items() if end
    }
    try:
        yield found
    finally:
        for client in found.values():
            await client.close()


PROVIDERS: Mapping[str, Provide] = {"envoy": envoy, "prometheus": prometheus}
