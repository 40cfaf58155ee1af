"""Reads plan.yaml back, also after people have edited it: every mistake at once, with its line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from landbridge.judge.bursts import Bursts
from landbridge.laws.window import read_window
from landbridge.model.plan import Act, ActKind, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import MESHES, Protocol, ServiceId, Side
from landbridge.settings.base import Settings
from landbridge.settings.document import Document, read, validate
from landbridge.settings.migration import OnExpiry
from landbridge.settings.values import Id

SPOKEN = tuple(kind.value for kind in Protocol if kind is not Protocol.UDP)


class ActText(Settings):
    """An act as it is written."""

    id: str = Field(min_length=1)
    kind: ActKind
    args: dict[str, Any] = Field({})
    guards: tuple[str, ...] = Field(())
    note: str = Field("")


class ServiceText(Settings):
    """The acts of one service in one wave."""

    service: Id
    acts: tuple[ActText, ...]
    after: tuple[Id, ...] = Field(())
    idempotent: bool | None = Field(None)


class WaveText(Settings):
    """A wave."""

    name: str
    services: tuple[ServiceText, ...]
    approval: bool = Field(default=False)
    window: Annotated[str, AfterValidator(read_window)] = Field("")


class BoundsText(Settings):
    """What the run keeps to."""

    alpha: float = Field(0.01, gt=0, lt=0.5)
    beta: float = Field(0.01, gt=0, lt=0.5)
    bursts: Bursts = Field(Bursts.CAP)
    slo: float | None = Field(None, gt=0, lt=1)
    slo_rolls_back: bool = Field(default=False)
    must_see: float | None = Field(None, gt=1)
    pass_below: float | None = Field(None, gt=1)
    on_expiry: OnExpiry = Field(OnExpiry.HOME)
    lease_seconds: float = Field(15.0, ge=5, le=300)
    concurrency: int = Field(8, ge=1)
    max_hold_dwells: int = Field(5, ge=1)
    bake_percent: int = Field(95, ge=0, le=100)
    full_retry: tuple[Id, ...] = Field(())


class PlanText(Settings):
    """The whole of plan.yaml."""

    version: Literal[1] = Field(1)
    source: str
    target: str
    waves: tuple[WaveText, ...]
    bounds: BoundsText = Field(BoundsText())


def load(text: str, *, file: str = "plan.yaml") -> Plan:
    """The plan that a text says; DocumentError with every mistake otherwise."""
    document = read(text, file)
    _check(document)
    return _plan(validate(PlanText, document))


def _plan(written: PlanText) -> Plan:
    bounds = written.bounds.model_dump() | {"on_expiry": written.bounds.on_expiry.value}
    return Plan(
        source=written.source,
        target=written.target,
        waves=tuple(
            Wave(
                name=wave.name,
                services=tuple(_service(entry) for entry in wave.services),
                approval=wave.approval,
                window=wave.window,
            )
            for wave in written.waves
        ),
        bounds=Bounds(**bounds),
        version=written.version,
    )


def _service(written: ServiceText) -> ServicePlan:
    return ServicePlan(
        service=ServiceId.parse(written.service),
        acts=tuple(
            Act(id=act.id, kind=act.kind, args=act.args, guards=act.guards, note=act.note) for act in written.acts
        ),
        after=tuple(map(ServiceId.parse, written.after)),
        idempotent=written.idempotent,
    )


def _check(document: Document) -> None:
    """What the shape alone does not tell: ids that are unique, arguments that the kind needs."""
    seen: dict[str, int | None] = {}
    for path, act in _acts(document.data):
        name = act.get("id")
        if isinstance(name, str):
            if name in seen:
                document.add((*path, "id"), f"the id {name!r} stands in line {seen[name]} already")
            seen.setdefault(name, document.line((*path, "id")))
        args = act.get("args")
        for message in _wrong(act.get("kind"), args if isinstance(args, dict) else {}):
            document.add((*path, "args"), message)


def _acts(data: Any) -> list[tuple[tuple[str | int, ...], dict[str, Any]]]:
    found: list[tuple[tuple[str | int, ...], dict[str, Any]]] = []
    for w, wave in enumerate(_list(data, "waves")):
        for s, entry in enumerate(_list(wave, "services")):
            for a, act in enumerate(_list(entry, "acts")):
                if isinstance(act, dict):
                    found.append((("waves", w, "services", s, "acts", a), act))
    return found


def _list(data: Any, key: str) -> list[Any]:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, list) else []


def _wrong(kind: Any, args: dict[str, Any]) -> list[str]:
    watched = dict.fromkeys((ActKind.SHADOW, ActKind.WEIGHT), ("percent", "dwell"))
    number = {**watched, ActKind.SOAK: ("seconds",), ActKind.SCALE: ("replicas",)}
    sided = {ActKind.ADOPT, ActKind.EXPORT, ActKind.UNADOPT, ActKind.SCALE}
    listed = {ActKind.COPY, ActKind.READY, ActKind.SCALE, ActKind.HANDOVER}
    wrong = [
        f"{name} has to be a number from 0 up"
        for name in number.get(kind, ())
        if isinstance(args.get(name), bool) or not isinstance(args.get(name), int | float) or args[name] < 0
    ]
    percent = args.get("percent", 0)
    if kind in watched and not (isinstance(percent, int) and percent <= 100):
        wrong.append("percent has to be a whole number from 0 to 100")
    if kind in sided and args.get("side") not in {side.value for side in Side}:
        wrong.append("side has to be source or target")
    if kind in listed and not _are_objects(args.get("objects")):
        wrong.append("objects has to be a list of `apiVersion Kind namespace name`")
    if "plane" in args and args["plane"] not in MESHES:
        wrong.append(f"plane has to be one of {', '.join(MESHES)}")
    if kind == ActKind.ADOPT and not _are_spoken(args.get("protocols", {})):
        wrong.append(f"protocols has to map ports to {', '.join(SPOKEN)}")
    if kind == ActKind.ADOPT and not _are_pods(args.get("pods", [])):
        wrong.append("pods has to be a list of `{labels: {...}, ports: {...}}`")
    return wrong


def _are_pods(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and _is_pod(item) for item in value)


def _is_pod(item: dict[str, Any]) -> bool:
    labels, ports = item.get("labels"), item.get("ports", {})
    numbers = isinstance(ports, dict) and all(type(number) is int for number in ports.values())
    return numbers and isinstance(labels, dict)


def _are_spoken(value: Any) -> bool:
    return isinstance(value, dict) and all(kind in SPOKEN for kind in value.values())


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and len(item.split()) == 4 for item in value)
