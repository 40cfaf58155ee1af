"""`connect`, `disconnect`, `check`, `gateways`, `rotate`: the connection of the two clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import cyclopts
from rich.markup import escape
from rich.table import Table

from landbridge.cli import folder
from landbridge.cli.output import Where, columns, emit, talk
from landbridge.connect import check as checking
from landbridge.connect import connect as joining
from landbridge.connect import disconnect as leaving
from landbridge.connect import gateways as doors
from landbridge.connect import linkerd as by_linkerd
from landbridge.connect import rotate as rotating
from landbridge.connect.manifests import manifests
from landbridge.connect.options import IMAGE, Options
from landbridge.errors import AccessError, DocumentError, Exit
from landbridge.model.exports import Exports, MirrorRules
from landbridge.model.inventory import Severity
from landbridge.model.service import BUILTIN, Manifest
from landbridge.settings import Migration
from landbridge.settings.connection import Door, Export
from landbridge.settings.load import FILE
from landbridge.settings.migration import Policies
from landbridge.settings.names import suggest

HERE = Where()
NOTHING_YET = (
    "nothing is exported yet, so nobody asks through the gateways: Services are exported when `landbridge run` "
    "adopts them; `landbridge check` looks at the gateways' pods"
)


def register(app: cyclopts.App) -> None:
    """Add these commands."""
    for command in (connect, disconnect, check, gateways, rotate):
        app.command(command)


def options_of(migration: Migration) -> Options:
    """How migration.yaml wants the clusters joined."""
    plane, joined = migration.data_plane, migration.connect
    everything = joined.export is Export.ALL
    return Options(
        namespaces=migration.namespaces,
        plane=plane.plane.value,
        image=plane.image or IMAGE,
        envoy_image=plane.envoy_image,
        waypoint_pods=plane.waypoints,
        gateway_pods=plane.gateways,
        workers=plane.workers,
        enforce=plane.policies is Policies.ENFORCE,
        cpu=plane.cpu,
        gateway_cpu=plane.gateway_cpu,
        exports=Exports(
            everything=everything,
            include=joined.include or (tuple(f"{name}/*" for name in migration.namespaces) if everything else ()),
            exclude=joined.exclude,
            exclude_ports=joined.exclude_ports,
        ),
        mirrors=MirrorRules(
            headless=joined.headless,
            excluded_labels=joined.excluded_labels,
            excluded_annotations=joined.excluded_annotations,
        ),
        addresses=joined.api_servers,
        gateways=joined.gateways,
        node_port=joined.node_port if joined.service is Door.NODE_PORT else None,
        service_annotations=joined.service_annotations,
        load_balancer_class=joined.load_balancer_class,
    )


def connect(*, dry_run: bool = False, where: Where = HERE) -> None:
    """Join the two clusters: gateways, waypoints, certificates and links, both ways. Safe to repeat.

    Example: `landbridge connect --dry-run -o yaml > landbridge.yaml`

    Parameters
    ----------
    dry_run:
        Print the objects for both clusters instead, for review or GitOps; credentials are left out.
    """
    migration = folder.settings(where)
    options = options_of(migration)
    if dry_run:
        made = folder.go(_would_connect(migration, options))
        flat = [item for items in made.values() for item in items]
        rows = [
            (cluster, item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
            for cluster, items in made.items()
            for item in items
        ]
        emit(flat, where.output, table=columns(("cluster", "kind", "namespace", "name"), rows))
        return
    folder.go(_connect(migration, options))
    text = f"{migration.source.name} and {migration.target.name} are joined\nnext: landbridge check, landbridge run"
    emit({"connected": [migration.source.name, migration.target.name]}, where.output, table=text)


async def _would_connect(migration: Migration, options: Options) -> dict[str, list[Manifest]]:
    """The objects for each cluster. Our own need no cluster to be asked, unless Linkerd might be there."""
    ends = (migration.source.name, migration.target.name)
    ways, why = None, "dataPlane.plane is builtin"
    try:
        if options.plane != BUILTIN.name:
            async with folder.clusters(migration) as clusters:
                ways, why = await by_linkerd.choose(*clusters, options)
    except (AccessError, DocumentError) as error:
        if options.plane != "auto":
            raise
        why = f"it could not be asked for Linkerd: {error.what}"
    talk.print(f"data plane: {'linkerd' if ways else 'builtin'} ({escape(why)})")
    if ways:
        pairs = {name: ways.end(name) for name in ends}
        return {
            name: by_linkerd.manifests(here, there) + by_linkerd.records(there.name, options)
            for name, (here, there) in pairs.items()
        }
    return {here: manifests(here, there, options) for here, there in (ends, ends[::-1])}


async def _connect(migration: Migration, options: Options) -> None:
    async with folder.clusters(migration) as (source, target):
        await joining.connect(source, target, options, progress=talk.print)


def disconnect(*, dry_run: bool = False, where: Where = HERE) -> None:
    """Take everything of landbridge out of both clusters; refused while traffic depends on it (exit 3).

    Requests and connections that are still in progress are waited for, five minutes at most.

    Example: `landbridge disconnect --dry-run`

    Parameters
    ----------
    dry_run:
        Only list what would go.
    """
    migration = folder.settings(where)
    gone = folder.go(_disconnect(migration, dry_run=dry_run))
    rows = [tuple(line.split(": ", 1)) for line in gone]
    emit(gone, where.output, table=columns(("cluster", "object"), rows) if gone else "nothing of landbridge is left")


async def _disconnect(migration: Migration, *, dry_run: bool) -> list[str]:
    async with folder.clusters(migration) as clusters:
        found = [f"{k8s.name}: {ref}" for k8s in clusters for ref in await leaving.leftovers(k8s)]
        if not dry_run:
            await leaving.disconnect(*clusters, progress=talk.print)
        return found


def check(*, where: Where = HERE) -> int:
    """Say whether the connection is healthy, from what is really in use; exit 1 when it is not.

    Example: `landbridge check -o json`
    """
    migration = folder.settings(where)
    results = folder.go(_check(migration))
    value = [
        {
            "cluster": result.cluster,
            "check": result.title,
            "passed": result.passed,
            "severity": result.severity.value,
            "problem": result.problem,
            "advice": result.advice,
            "page": result.page,
        }
        for result in results
    ]
    emit(value, where.output, table=_results(results))
    failed = [result for result in results if not result.passed and result.severity is Severity.BLOCKER]
    talk.print(f"{len(failed)} of {len(results)} checks failed" if failed else f"all {len(results)} checks passed")
    return Exit.ERROR if failed else Exit.DONE


async def _check(migration: Migration) -> list[checking.Result]:
    async with folder.clusters(migration) as (source, target):
        return await checking.check(source, target)


def _results(results: list[checking.Result]) -> Table:
    table = columns(("", "cluster", "check"), [])
    for result in results:
        mark = "[green]√[/green]" if result.passed else "[red]×[/red]"
        if not result.passed and result.severity is not Severity.BLOCKER:
            mark = "[yellow]‼[/yellow]"
        text = result.title.replace("[", r"\[")
        if not result.passed:
            more = f"\n  {result.problem}\n  do: {result.advice} ({result.page})"
            text += more.replace("[", r"\[")
        table.add_row(mark, result.cluster, text)
    return table


def gateways(*, where: Where = HERE) -> int:
    """Show the linked gateways: whether each answers, for how many Services, and how fast (over the last minute).

    Exit 1 while one does not answer; 0 while nothing is exported yet, for then nobody asks, and where one of Linkerd's
    cannot be asked about: that is unknown.

    Example: `landbridge gateways`
    """
    migration = folder.settings(where)
    found = folder.go(_gateways(migration))
    emit([asdict(gateway) for gateway in found], where.output, table=_doors(found))
    for gateway in found:
        if gateway.problem:
            talk.print(f"{gateway.cluster}, seen from {gateway.seen_from}: {escape(gateway.problem)}")
    if any(gateway.unused for gateway in found):
        talk.print(NOTHING_YET)
    dead = [gateway for gateway in found if gateway.alive is False and not gateway.unused]
    return Exit.ERROR if dead else Exit.DONE


async def _gateways(migration: Migration) -> list[doors.LinkedGateway]:
    async with folder.clusters(migration) as (source, target):
        return await doors.gateways(source, target)


def _doors(found: Sequence[doors.LinkedGateway]) -> Table:
    head = ("cluster", "alive", "num_svc", "latency_p50", "latency_p95", "latency_p99")
    rows = [
        (gateway.cluster, _alive(gateway), gateway.services, *(_ms(gateway, name) for name in ("p50", "p95", "p99")))
        for gateway in found
    ]
    return columns(head, rows)


def _alive(gateway: doors.LinkedGateway) -> str:
    if gateway.unused:
        return "-"
    return "unknown" if gateway.alive is None else str(gateway.alive)


def _ms(gateway: doors.LinkedGateway, name: str) -> str:
    value = gateway.latency_ms.get(name)
    if value is None or not gateway.alive:
        return "-"
    return f"{value:.0f}ms" if value >= 10 else f"{value:.1f}ms"


def rotate(cluster: str, /, *, where: Where = HERE) -> None:
    """Give a cluster a new certificate authority while traffic flows; takes about eight minutes.

    Both authorities are trusted meanwhile. If it is interrupted, the same command goes on.

    Example: `landbridge rotate legacy`

    Parameters
    ----------
    cluster:
        Name of the cluster in migration.yaml.
    """
    migration = folder.settings(where)
    known = (migration.source.name, migration.target.name)
    if cluster not in known:
        what = f"there is no cluster {cluster!r}{suggest(cluster, known)}"
        raise DocumentError(what, where=FILE, advice=f"name {known[0]} or {known[1]}")
    folder.go(_rotate(migration, cluster))
    emit({"rotated": cluster}, where.output, table=f"{cluster} has a new authority\nnext: landbridge check")


async def _rotate(migration: Migration, cluster: str) -> None:
    async with folder.clusters(migration) as (source, target):
        k8s, other = (source, target) if cluster == source.name else (target, source)
        talk.print(f"three steps, {rotating.PROPAGATION:.0f} s after each for every pod to have its new files")
        with talk.status(f"rotating the authority of {cluster}"):
            await rotating.rotate(k8s, other, progress=talk.print)
