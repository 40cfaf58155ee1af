"""The acts of one service or namespace, wave by wave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from landbridge.model.manifest import text_of
from landbridge.model.plan import Act, ActKind
from landbridge.model.service import ObjectRef, ServiceId, Side
from landbridge.plan.forecast import copied, forecast
from landbridge.plan.forecast import dwell as stretch
from landbridge.plan.scope import Mover
from landbridge.settings.migration import Migration, Policies
from landbridge.translate.callers import Called, entries

GUARDS: Mapping[ActKind, tuple[str, ...]] = {
    ActKind.SHADOW: ("raise", "drift", "silence", "alpha"),
    ActKind.WEIGHT: ("raise", "drift", "silence", "alpha"),
    ActKind.FINISH: ("served", "drift"),
    ActKind.SCALE: ("served", "rollback", "singleton"),
    ActKind.UNADOPT: ("served", "drift"),
    ActKind.HANDOVER: ("singleton",),
    ActKind.SPLIT: ("one_writer", "no_loop"),
}
"""The laws (by the names in `laws.law`) that the runner asks before each kind of act."""


def act(owner: ServiceId, name: str, kind: ActKind, note: str = "", **args: Any) -> Act:
    """An act with an id that stays the same when the plan is made again."""
    return Act(
        id=f"{owner.namespace}/{owner.name}/{name}", kind=kind, args=args, guards=GUARDS.get(kind, ()), note=note
    )


def join(service: ServiceId, migration: Migration, router: str, replicas: int, pods: Sequence[Called]) -> Iterator[Act]:
    """Adopted on both sides, all traffic home: nothing moves yet. `replicas` is the size that home needs, `pods` what
    policies know of its pods.
    """
    protocols = {name: str(kind) for name, kind in sorted(migration.service(service).protocols.items())}
    stated: dict[str, Any] = {"protocols": protocols} if protocols else {}
    if migration.data_plane.policies is Policies.ENFORCE:
        stated |= {"policies": Policies.ENFORCE.value} | ({"pods": entries(pods)} if pods else {})
    yield act(service, "adopt-source", ActKind.ADOPT, side=Side.SOURCE.value, **stated)
    yield act(service, "adopt-target", ActKind.ADOPT, side=Side.TARGET.value, **stated)
    chosen = {"router": router} if router != "auto" else {}
    yield act(service, "split", ActKind.SPLIT, replicas=replicas, **chosen)


def link(
    service: ServiceId, replicas: int, plane: str, routers: Mapping[Side, str], domains: Mapping[Side, str]
) -> Iterator[Act]:
    """Mirrored both ways by Linkerd, all traffic home: nothing moves yet."""
    yield act(service, "export-target", ActKind.EXPORT, side=Side.TARGET.value)
    yield act(service, "export-source", ActKind.EXPORT, side=Side.SOURCE.value)
    told: dict[str, Any] = {"plane": plane, "router": _once(routers), "domain": _once(domains)}
    yield act(service, "split", ActKind.SPLIT, STAYS, replicas=replicas, **told)


STAYS = "no agent keeps the run's lease here: the weights of a runner that died stay until the next one"


def _once(said: Mapping[Side, str]) -> Any:
    """One word where both sides have the same."""
    words = set(said.values())
    return words.pop() if len(words) == 1 else {side.value: said[side] for side in Side}


def bring(owner: ServiceId, movers: Sequence[Mover]) -> Iterator[Act]:
    """The workloads copied, ready, and held at their size."""
    objects = [text for mover in movers for text in mover.objects]
    if not objects:
        return
    yield act(owner, "copy", ActKind.COPY, objects=objects)
    yield act(owner, "ready", ActKind.READY, objects=[text_of(mover.ref) for mover in movers])
    scalers = [text_of(ref) for mover in movers for ref in mover.scalers]
    if scalers:
        sizes = {text_of(ref): mover.replicas for mover in movers for ref in mover.scalers}
        yield act(owner, "pin", ActKind.PIN, objects=scalers, replicas=sizes)


def shift(service: ServiceId, migration: Migration, callers: str = "") -> Iterator[Act]:
    """The shadow where one is wanted, the weight steps, the change of home, the soak.

    `callers` is what the first weight does beside its percent.
    """
    shadow, rate = migration.shadow_of(service), migration.service(service).request_rate
    odds = (rate, migration.alpha, migration.beta)
    ramp = _ramp(migration.steps_of(service), migration.dwell_of(service), migration.max_dwell, *odds, callers)
    if shadow.percent:
        ramp = (_copied(shadow.percent, shadow.dwell, *odds), *ramp)
    owner = f"{service.namespace}/{service.name}/"
    for name, kind, note, args in ramp:
        yield Act(id=owner + name, kind=kind, args=args, guards=GUARDS[kind], note=note)
    yield act(service, "finish", ActKind.FINISH)
    yield act(service, "soak", ActKind.SOAK, seconds=migration.soak_of(service))


Step = tuple[str, ActKind, str, Mapping[str, Any]]


@lru_cache(maxsize=1024)
def _ramp(
    steps: tuple[int, ...], least: float, most: float, rate: float | None, alpha: float, beta: float, callers: str
) -> tuple[Step, ...]:
    """Each step's weight, dwell and forecast; services without settings of their own share one ramp."""
    made: list[Step] = []
    for percent in steps:
        dwell = stretch(percent, least, most, rate, alpha=alpha, beta=beta)
        note = forecast(percent, dwell, rate, alpha=alpha, beta=beta)
        note = note + f"; stretched from {least:g} s" if dwell > least else note
        note = "; ".join(filter(None, (callers, note))) if percent == steps[0] else note
        made.append((f"weight-{percent}", ActKind.WEIGHT, note, {"percent": percent, "dwell": dwell}))
    return tuple(made)


def _copied(percent: int, dwell: float, rate: float | None, alpha: float, beta: float) -> Step:
    note = copied(percent, dwell, rate, alpha=alpha, beta=beta)
    return "shadow", ActKind.SHADOW, note, {"percent": percent, "dwell": dwell}


def leave(owner: ServiceId, services: Sequence[ServiceId], movers: Sequence[Mover]) -> Iterator[Act]:
    """The source shrinks when nothing calls it any more. `services` are all in front of these workloads."""
    if movers:
        every = [str(service) for service in services]
        objects = [text_of(mover.ref) for mover in movers]
        yield act(
            owner, "scale-source", ActKind.SCALE, side=Side.SOURCE.value, replicas=0, objects=objects, services=every
        )


def part(service: ServiceId, plane: str = "") -> Iterator[Act]:
    """Nothing of landbridge stays in the target's request path; without a waypoint that is only its switch."""
    told = {"plane": plane} if plane else {}
    yield act(service, "unadopt-target", ActKind.UNADOPT, side=Side.TARGET.value, **told)


def unpin(owner: ServiceId, movers: Sequence[Mover]) -> Iterator[Act]:
    """Autoscalers as they were."""
    scalers = [text_of(ref) for mover in movers for ref in mover.scalers]
    if scalers:
        yield act(owner, "unpin", ActKind.UNPIN, objects=scalers)


def ground(
    owner: ServiceId, objects: Sequence[str], cluster_wide: Sequence[str], workers: Sequence[Mover]
) -> Iterator[Act]:
    """What services need around them; workers arrive stopped, schedules suspended."""
    if cluster_wide:
        yield act(owner, "copy-cluster", ActKind.COPY, objects=list(cluster_wide))
    if objects:
        yield act(owner, "copy", ActKind.COPY, objects=list(objects))
    for mover in workers:
        note = "arrives stopped: two of it might do the same work twice"
        yield act(owner, f"copy-{mover.ref.name}", ActKind.COPY, note, objects=mover.objects, replicas=0)


def move_worker(owner: ServiceId, mover: Mover, *, idempotent: bool) -> Iterator[Act]:
    """One worker: started before the source's stops if it may run twice, after it if not (law 9)."""
    text, name = text_of(mover.ref), mover.ref.name
    stop = act(owner, f"stop-{name}", ActKind.SCALE, side=Side.SOURCE.value, replicas=0, objects=[text])
    start = act(owner, f"start-{name}", ActKind.SCALE, side=Side.TARGET.value, replicas=mover.replicas, objects=[text])
    ready = act(owner, f"ready-{name}", ActKind.READY, objects=[text])
    yield from (start, ready, stop) if idempotent else (stop, start, ready)


def hand_over(owner: ServiceId, schedules: Sequence[ObjectRef]) -> Iterator[Act]:
    """Each schedule closed on the source, its Jobs waited for, then opened on the target."""
    for ref in schedules:
        yield act(owner, f"handover-{ref.name}", ActKind.HANDOVER, objects=[text_of(ref)])
