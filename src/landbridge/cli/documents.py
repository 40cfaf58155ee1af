"""`init`, `inventory`, `assess`, `plan`: each reads the document before it and writes its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from pydantic import TypeAdapter
from rich.table import Table

from landbridge.assess import Facts
from landbridge.assess import assess as find
from landbridge.assess.assess import open_blockers
from landbridge.assess.policies import FILE as POLICIES
from landbridge.assess.policies import missing
from landbridge.catalog import get_catalog
from landbridge.cli import folder
from landbridge.cli.output import Format, Where, as_yaml, columns, emit, span, talk
from landbridge.clients import kubeconfig
from landbridge.clients.kinds import NAMESPACE, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import DocumentError, Exit
from landbridge.inventory import SOURCES
from landbridge.model.inventory import Finding, Inventory
from landbridge.model.plan import ActKind, Plan
from landbridge.model.service import Manifest, ServiceId
from landbridge.plan import diff as diff_plans
from landbridge.plan import dump, make
from landbridge.plan.forecast import counting, mistaken, quiet, ramps, rarely
from landbridge.settings import Migration, render_template
from landbridge.settings.load import FILE
from landbridge.settings.migration import Cluster

HERE = Where()
OURS = ("kube-system", "kube-public", "kube-node-lease", "landbridge")
plans = TypeAdapter(Plan)


def register(app: cyclopts.App) -> None:
    """Add these commands."""
    for command in (init, inventory, assess, plan):
        app.command(command)


def init(
    *,
    source: str,
    target: str,
    namespace: Annotated[list[str] | None, Parameter(name=["--namespace", "-n"])] = None,
    source_name: str = "",
    target_name: str = "",
    force: bool = False,
    where: Where = HERE,
) -> None:
    """Write a first migration.yaml, commented, from what is found in both clusters.

    Example: `landbridge init --source old --target new -n shop -C shop-migration`

    Parameters
    ----------
    source:
        Context of the old cluster in your kubeconfig.
    target:
        Context of the new one.
    namespace:
        A namespace that moves; may be given several times. Without it all but the system's own move.
    source_name:
        Short name of the old cluster, used in names such as web-legacy. Else the context's.
    target_name:
        Short name of the new cluster. Else the context's.
    force:
        Overwrite a migration.yaml that is there.
    """
    path = where.file(FILE)
    if path.exists() and not force:
        raise DocumentError(f"{path} exists", where=str(path), advice="edit it, or give --force to begin anew")
    if source == target:
        advice = "give two contexts of your kubeconfig: `kubectl config get-contexts` lists them"
        raise DocumentError(f"source and target are the same context: {source}", where="--target", advice=advice)
    ends = (_cluster(source, source_name), _cluster(target, target_name))
    if ends[0].name == ends[1].name:
        advice = "give --source-name or --target-name"
        raise DocumentError(f"both clusters would be called {ends[0].name}", where="--target-name", advice=advice)
    namespaces, services = folder.go(_found(ends[0], ends[1], namespace or []))
    folder.write(path, render_template(source=ends[0], target=ends[1], namespaces=namespaces, services=services))
    value = {"file": str(path), "namespaces": namespaces, "services": [str(service) for service in services]}
    text = f"{path}: {len(services)} services in {', '.join(namespaces)}\nnext: landbridge inventory"
    emit(value, where.output, table=text)


def _cluster(context: str, name: str) -> Cluster:
    label = "".join(c if c.isalnum() else "-" for c in context.rpartition("/")[2].lower()).strip("-")
    return Cluster(name=name or label[:30] or "cluster", kind="kubernetes", context=context, kubeconfig="")


async def _found(source: Cluster, target: Cluster, asked: list[str]) -> tuple[list[str], list[ServiceId]]:
    config = kubeconfig.load()
    async with (
        Kubernetes.connect(config.context(source.context)) as old,
        Kubernetes.connect(config.context(target.context)) as new,
    ):
        await new.version()
        there = [item["metadata"]["name"] for item in await old.list(NAMESPACE)]
        for missing in [name for name in asked if name not in there]:
            known = ", ".join(name for name in there if name not in OURS)
            raise DocumentError(f"there is no namespace {missing!r} in {source.name}", advice=f"there are: {known}")
        chosen = asked or [name for name in there if name not in OURS]
        items = [item for name in chosen for item in await old.list(SERVICE, name)]
    services = [ServiceId(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]
    filled = {service.namespace for service in services}
    return [name for name in chosen if name in filled or name in asked], sorted(services)


def inventory(*, where: Where = HERE) -> None:
    """Read both clusters: what runs, who calls whom, who owns what. Writes inventory.json, without Secrets' values.

    Example: `landbridge inventory -C shop-migration`
    """
    migration = folder.settings(where)
    found = folder.go(_collect(migration))
    folder.write(where.file(folder.INVENTORY), folder.inventories.dump_json(found, indent=1))
    value = _summary(found)
    rows = [(kind, count) for kind, count in value["objects"].items()]
    table = columns(("kind", "objects"), [*rows, ("services", len(found.services)), ("calls known", len(found.edges))])
    emit(value, where.output, table=table)
    for note in found.notes:
        talk.print(f"note: {note}")
    talk.print(f"{where.file(folder.INVENTORY)} written; next: landbridge assess")


async def _collect(migration: Migration) -> Inventory:
    async with folder.clusters(migration) as (source, target):
        with talk.status(f"reading {migration.source.name} and {migration.target.name}"):
            return await SOURCES[migration.source.kind](source, target, migration.namespaces).collect()


def _summary(found: Inventory) -> dict[str, Any]:
    kinds = Counter(item["kind"] for item in found.source.objects)
    return {
        "source": {"name": found.source.name, "version": found.source.version},
        "target": {"name": found.target.name, "version": found.target.version},
        "objects": dict(sorted(kinds.items())),
        "services": [str(service.id) for service in found.services],
        "edges": len(found.edges),
        "owners": dict(Counter(owner.by for owner in found.owners)),
        "notes": list(found.notes),
    }


def assess(*, strict: bool = False, where: Where = HERE) -> int:
    """Say what would go wrong, before anything moves. Writes assessment.json; exit 3 while a blocker is open.

    Example: `landbridge assess -o json`

    Parameters
    ----------
    strict:
        Exit 3 for warnings, too.
    """
    facts = Facts(folder.inventory(where), folder.settings(where))
    findings = find(facts)
    folder.write(where.file(folder.ASSESSMENT), folder.assessments.dump_json(findings, indent=1))
    emit(folder.assessments.dump_python(findings, mode="json"), where.output, table=_findings(findings))
    _show_policies(where.file(POLICIES), tuple(missing(facts)))
    count = Counter(finding.severity.value for finding in findings if not finding.accepted)
    accepted = sum(bool(finding.accepted) for finding in findings)
    said = ", ".join(f"{count[name]} {name}s" for name in ("blocker", "warning", "note"))
    talk.print(f"{said}, {accepted} accepted; {where.file(folder.ASSESSMENT)} written")
    blocked = bool(open_blockers(findings)) or (strict and count["warning"] > 0)
    talk.print("next: mend or accept the blockers" if blocked else "next: landbridge plan")
    return Exit.BLOCKED if blocked else Exit.DONE


def _show_policies(path: Path, lacking: tuple[Manifest, ...]) -> None:
    """What waypoints need of NetworkPolicies, to be reviewed and applied; the file goes when nothing is lacking."""
    if not lacking:
        path.unlink(missing_ok=True)
        return
    head = "# NetworkPolicies that let waypoints through: to be reviewed and applied to the source first.\n"
    folder.write(path, head + as_yaml(lacking))
    talk.print(f"{path} written: {len(lacking)} NetworkPolicies that waypoints need on the source")


MARKS = {"blocker": "[red]×[/red]", "warning": "[yellow]‼[/yellow]", "note": "·"}


def _findings(findings: tuple[Finding, ...]) -> Table:
    table = columns(("", "check", "object", "finding", "do"), [])
    for finding in findings:
        mark = "√" if finding.accepted else MARKS[finding.severity.value]
        do = f"accepted: {finding.accepted}" if finding.accepted else finding.advice
        cells = (finding.check, finding.object, finding.message, f"{do} ({finding.page})")
        table.add_row(mark, *(cell.replace("[", r"\[") for cell in cells))
    return table


def plan(*, diff: bool = False, where: Where = HERE) -> None:
    """Make plan.yaml: waves of services with the acts that move them, to be reviewed like code.

    Example: `landbridge plan --diff`

    Parameters
    ----------
    diff:
        Only show what would change in plan.yaml; nothing is written.
    """
    migration = folder.settings(where)
    facts, path = Facts(folder.inventory(where), migration), where.file(folder.PLAN)
    new = make(facts, find(facts), get_catalog())
    if diff:
        changes = _compare(path, new)
        emit([str(change) for change in changes], where.output, table="\n".join(changes) or "nothing would change")
        return
    folder.write(path, dump(new))
    emit(plans.dump_python(new, mode="json"), where.output, table=_waves(new))
    if where.output is Format.TABLE:
        how = new.bounds.bursts
        said = (counting(how), rarely(migration.metrics.provider, how), mistaken(len(ramps(new)), new.bounds.alpha))
        for line in filter(None, (*said, quiet(new))):
            talk.print(line, markup=False)
        talk.print(f"{path} written; review it, then: landbridge connect, landbridge run")


def _compare(path: Path, new: Plan) -> list[str]:
    if not path.exists():
        raise DocumentError(f"there is no {path} to compare with", where=str(path), advice="make it: landbridge plan")
    old = folder.plan_of(path)
    return [str(change) for change in diff_plans(old, new)]


def _waves(made: Plan) -> Table:
    rows = []
    for wave in made.waves:
        acts = [act for entry in wave.services for act in entry.acts]
        weights = sorted({act.args["percent"] for act in acts if act.kind is ActKind.WEIGHT})
        dwell = max(
            (sum(a.args["dwell"] for a in e.acts if a.kind in {ActKind.SHADOW, ActKind.WEIGHT}) for e in wave.services),
            default=0,
        )
        names = ", ".join(str(entry.service) for entry in wave.services)
        rows.append((wave.name, names, len(acts), " ".join(map(str, weights)), span(dwell), wave.window))
    return columns(("wave", "services", "acts", "weights", "at least", "begins"), rows)
