"""What is left of a migration on the source: whether it is still adopted, who calls it, and its owner's objects."""

from __future__ import annotations

from dataclasses import dataclass

from landbridge.clients.kinds import CRONJOB
from landbridge.clients.kubernetes import Kubernetes
from landbridge.model.manifest import name_of
from landbridge.model.plan import ActKind, Plan
from landbridge.model.service import Manifest, ServiceId
from landbridge.observe.callers import Callers
from landbridge.run.agenda import acts_of
from landbridge.run.workloads import autoscalers, find_behind, wanted_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One entry of the plan on the source: what of it is there, who calls it, and why it has to stay."""

    service: ServiceId
    adopted: bool
    objects: tuple[str, ...]
    """Its owner's: `Deployment web, 0 replicas`."""
    callers: Callers | None = None
    """None for what is not called: a namespace's own entry, a service that stays or is out already."""
    refusals: tuple[str, ...] = ()
    stays: bool = False
    """By the plan it does not move: it stays adopted for callers that have moved."""

    @property
    def may_go(self) -> bool:
        """Whether it is still in the path and nothing holds it there."""
        return self.adopted and not self.stays and not self.refusals


async def objects_of(k8s: Kubernetes, service: ServiceId) -> list[str]:
    """The owner's workloads behind a service, and what scales them."""
    workloads = (await find_behind(k8s, service)).workloads
    scalers = [f"{scaler['kind']} {name_of(scaler)}" for scaler in await autoscalers(k8s, workloads)]
    return [*map(_sized, workloads), *scalers]


def _sized(workload: Manifest) -> str:
    return f"{workload['kind']} {name_of(workload)}, {wanted_of(workload)} replicas"


async def objects_of_namespace(k8s: Kubernetes, entry: ServiceId, plan: Plan) -> tuple[str, ...]:
    """Schedules of a namespace and workers behind no service."""
    jobs = [
        f"CronJob {name_of(job)}, {'suspended' if job['spec'].get('suspend') else 'active'}"
        for job in await k8s.list(CRONJOB, entry.namespace)
    ]
    named = {text for act in acts_of(plan, entry) if act.kind is ActKind.SCALE for text in act.args.get("objects", ())}
    found = [text.split() for text in sorted(named)]
    workers = [await k8s.find(await k8s.kind_of({"apiVersion": a, "kind": k}), n, s) for a, k, s, n in found]
    return (*jobs, *(_sized(worker) for worker in workers if worker is not None))
