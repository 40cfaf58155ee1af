"""The waypoint's rules on real pods, under load from open-loop callers: what may fail is counted, the rest is zero."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from landbridge.agent.names import RUN_LEASE
from landbridge.clients.kinds import DEPLOYMENT, ENDPOINTS, ENDPOINTSLICE, LEASE, POD, SERVICE, TRAFFICSPLIT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import wait_for
from landbridge.connect import roles
from landbridge.connect.adopt import adopt, is_adopted, unadopt
from landbridge.connect.bypass import bypass
from landbridge.connect.check import check
from landbridge.connect.names import TRUSTED_LABEL
from landbridge.connect.options import Options
from landbridge.connect.slices import addresses, foreign
from landbridge.errors import BlockedError
from landbridge.model.service import Manifest
from landbridge.shift.extras import HEADER_ROUTE
from tests.connect import owners
from tests.connect.bed import growth
from tests.connect.conftest import CLOCK, Joined

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("dataplane")]


@asynccontextmanager
async def no_failures(joined: Joined, *, requests: int = 150, held: int = 0) -> AsyncIterator[dict[str, Any]]:
    """Nothing fails from here to so many requests after the block; `held` connections may be closed."""
    before = await joined.counts()
    found: dict[str, Any] = {}
    yield found
    found |= await joined.since(before, requests)
    assert found["sent"] >= requests
    assert found.get("failed", 0) == 0, found
    assert found.get("tcp_failed", 0) == 0, found
    assert found.get("held_closed", 0) <= held, found


async def slices(k8s: Kubernetes, joined: Joined, service: str) -> list[Manifest]:
    return await k8s.list(ENDPOINTSLICE, joined.bed.namespace, labels=f"kubernetes.io/service-name={service}")


async def pods(k8s: Kubernetes, role: str, namespace: str) -> list[Manifest]:
    found = await k8s.list(POD, namespace, labels=f"landbridge.dev/role={role}")
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


async def until(condition: Callable[[], Awaitable[Any]], what: str, within: float = 30) -> Any:
    return await wait_for(condition, what=what, within=within, clock=CLOCK, every=0.2)


async def whole(joined: Joined, k8s: Kubernetes, namespace: str, role: str) -> None:
    """Two ready pods again, and the slices say so."""

    async def ready() -> bool:
        found = await pods(k8s, role, namespace)
        states = [c for pod in found for c in pod["status"].get("conditions") or () if c["type"] == "Ready"]
        return len(found) == 2 and [c["status"] for c in states] == ["True", "True"]

    await until(ready, f"two {role}s", within=90)
    if role == "waypoint":

        async def listed() -> bool:
            wanted = {pod["status"]["podIP"] for pod in await pods(k8s, role, namespace)}
            return addresses(await slices(k8s, joined, "echo")) == wanted

        await until(listed, "both waypoints in the slice", within=60)


async def test_adopted_means_waypoints_only(joined: Joined) -> None:
    """waypoint.md 1: our slice alone, the selector null, no Endpoints to be mirrored, everyone in the leaf."""
    for k8s in (joined.legacy, joined.eks):
        assert await is_adopted(k8s, joined.bed.echo)
        found = await slices(k8s, joined, "echo")
        assert not foreign(found)
        waypoints = {pod["status"]["podIP"] for pod in await pods(k8s, "waypoint", joined.bed.namespace)}
        assert addresses(found) == waypoints
        apex = await k8s.get(SERVICE, "echo", joined.bed.namespace)
        leaf = await k8s.get(SERVICE, "echo-leaf", joined.bed.namespace)
        assert not apex["spec"].get("selector")
        assert leaf["spec"]["selector"] == {"app": "echo"}
        assert not (await k8s.find(ENDPOINTS, "echo", joined.bed.namespace) or {}).get("subsets")


async def test_adopting_again_changes_nothing(joined: Joined) -> None:
    before = await joined.legacy.get(SERVICE, "echo", joined.bed.namespace)
    receipts = await adopt(joined.legacy, joined.bed.echo, other="eks", clock=CLOCK)
    after = await joined.legacy.get(SERVICE, "echo", joined.bed.namespace)
    assert before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    assert receipts[0].prior == {
        "spec": {"selector": {"app": "echo"}},
        "metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": None, "mirror.linkerd.io/exported": None}},
    }


async def test_a_headless_service_is_refused_with_its_rule(joined: Joined) -> None:
    manifest = joined.bed.service(clusterIP="None")
    manifest["metadata"]["name"] = "headless"
    await joined.legacy.apply(manifest)
    from landbridge.model.service import ServiceId

    with pytest.raises(BlockedError) as refused:
        await adopt(joined.legacy, ServiceId(joined.bed.namespace, "headless"), other="eks", clock=CLOCK)
    assert "headless" in refused.value.where


async def test_all_checks_pass(joined: Joined) -> None:
    async def passed() -> bool:
        return all(result.passed for result in await check(joined.legacy, joined.eks))

    await until(passed, "all checks passed")


async def test_there_and_back(joined: Joined) -> None:
    """0, 50, 100, 50, 0: the share follows and nothing fails, over HTTP, new and held TCP connections."""
    async with no_failures(joined):
        for percent in (50, 100, 50, 0):
            await joined.weight(percent)
            await joined.bed.pass_requests(joined.legacy, 60)  # what was under way, and slow agents
            found = await joined.bed.pass_requests(joined.legacy, 150)
            answered = found.get("eks", 0) + found.get("legacy", 0)
            share = 100 * found.get("eks", 0) / answered
            assert abs(share - percent) <= (0 if percent in {0, 100} else 20), (percent, found)


@pytest.mark.parametrize("way", ["client-side apply", "server-side apply with force", "helm"])
async def test_an_owner_applies_again_in_mid_shift(joined: Joined, way: str) -> None:
    """waypoint.md 1: the selector comes back, both kinds of endpoints answer, the agent sets it to null again."""
    await joined.weight(50)
    manifest = joined.bed.service()
    manifest["metadata"]["labels"]["release"] = way.replace(" ", "-")
    if way == "client-side apply":
        await owners.apply_client_side(joined.legacy, joined.bed.service())
        await until(lambda: is_adopted(joined.legacy, joined.bed.echo), "adopted after the first apply")
    async with no_failures(joined):
        match way:
            case "client-side apply":
                await owners.apply_client_side(joined.legacy, manifest)
            case "helm":
                await owners.upgrade_with_helm(joined.legacy, joined.bed.service(), manifest)
            case _:
                await owners.apply_server_side(joined.legacy, manifest)
        live = await joined.legacy.get(SERVICE, "echo", joined.bed.namespace)
        assert live["metadata"]["labels"]["release"] == way.replace(" ", "-"), "the owner's own change stays"

        async def restored() -> bool:
            clean = not foreign(await slices(joined.legacy, joined, "echo"))
            return clean and await is_adopted(joined.legacy, joined.bed.echo)

        await until(restored, "adopted again")
    await joined.weight(0)


async def test_taken_out_and_put_in_again(joined: Joined) -> None:
    """waypoint.md 5: original endpoints first, our slice goes, held connections stay where they are."""
    with pytest.raises(BlockedError, match="TrafficSplit"):
        await unadopt(joined.legacy, joined.bed.echo, (), clock=CLOCK)
    await joined.weight(0)
    await joined.bed.pass_requests(joined.legacy, 60)
    async with no_failures(joined):
        await joined.legacy.delete(TRAFFICSPLIT, "echo", joined.bed.namespace)
        await unadopt(joined.legacy, joined.bed.echo, (), clock=CLOCK, keep_export=True)
        apex = await joined.legacy.get(SERVICE, "echo", joined.bed.namespace)
        assert apex["spec"]["selector"] == {"app": "echo"}
        assert "endpointslice.kubernetes.io/skip-mirror" not in apex["metadata"]["labels"]
        found = await slices(joined.legacy, joined, "echo")
        assert foreign(found) == found
        assert await joined.legacy.find(SERVICE, "echo-leaf", joined.bed.namespace) is None
        await joined.bed.pass_requests(joined.legacy, 150)
        await adopt(joined.legacy, joined.bed.echo, other="eks", clock=CLOCK)
    await joined.weight(0)


async def test_a_header_leads_trusted_callers_to_the_copy_at_weight_0(joined: Joined) -> None:
    """Trust is a label of the caller's pod; the header of any other caller is taken off and means nothing."""
    bed, legacy = joined.bed, joined.legacy
    spec = {"holderIdentity": "runner", "leaseDurationSeconds": 300, "leaseTransitions": 0}
    meta = {"name": bed.namespace, "namespace": "landbridge"}
    # in force while a runner lives, for nobody else would turn it off
    await legacy.apply({"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": meta, "spec": spec})
    notes = {HEADER_ROUTE: "source=echo-leaf target=echo-eks", RUN_LEASE: bed.namespace}
    await bed.split(legacy, "eks", 0, notes)
    await bed.call(legacy, rate=20, held=0, name="friend", side="target", labels={TRUSTED_LABEL: "true"})
    await bed.call(legacy, rate=20, held=0, name="stranger", side="target")
    asked = growth({}, await bed.counts(legacy, "stranger"))

    async def obeyed() -> bool:
        return not (await bed.pass_requests(legacy, 20, "friend")).get("legacy", 0)

    async with no_failures(joined):
        await until(obeyed, "the header obeyed", within=60)
        found = await bed.pass_requests(legacy, 60, "friend")
        strange = growth(asked, await bed.counts(legacy, "stranger"))
    assert found.get("eks", 0) > 0, found
    assert (found.get("legacy", 0), found.get("failed", 0)) == (0, 0), found
    assert strange.get("legacy", 0) > 0, strange
    assert (strange.get("eks", 0), strange.get("failed", 0)) == (0, 0), strange
    for name in ("friend", "stranger"):
        await legacy.delete(DEPLOYMENT, name, bed.namespace)
    await joined.weight(0)
    await legacy.delete(LEASE, bed.namespace, "landbridge")


def places(joined: Joined) -> list[tuple[Kubernetes, str, str]]:
    """Where the load passes: the callers' waypoint here, the gateway over there."""
    return [(joined.legacy, "waypoint", joined.bed.namespace), (joined.eks, "gateway", "landbridge")]


async def test_a_deleted_pod_loses_nothing(joined: Joined) -> None:
    """waypoint.md 6: preStop, out of the slices first. Held TCP connections of those pods may have to reconnect."""
    await joined.weight(50)
    async with no_failures(joined, held=8):
        victims = [
            (k8s, (await pods(k8s, role, space))[0]["metadata"]["name"], space) for k8s, role, space in places(joined)
        ]
        for k8s, victim, space in victims:
            await k8s.delete(POD, victim, space)

        async def gone() -> bool:
            return not any([await k8s.find(POD, victim, space) for k8s, victim, space in victims])

        await until(gone, "the pods gone", within=90)
    for k8s, role, space in places(joined):
        await whole(joined, k8s, space, role)


async def test_sigterm_of_an_envoy_container_loses_nothing(joined: Joined) -> None:
    """Its parent drains it first."""
    await joined.weight(50)
    async with no_failures(joined, held=8, requests=1500):
        for k8s, role, space in places(joined):
            victim = (await pods(k8s, role, space))[0]["metadata"]["name"]
            os.kill(process(victim, "landbridge.connect.drain"), signal.SIGTERM)
    for k8s, role, space in places(joined):
        await whole(joined, k8s, space, role)


async def test_sigkill_of_an_envoy_loses_only_what_it_had(joined: Joined) -> None:
    """Counted: what was in flight and what was sent in the blink until its parent has started it again."""
    await joined.weight(0)
    before = await joined.counts()
    victim = (await pods(joined.legacy, "waypoint", joined.bed.namespace))[0]["metadata"]["name"]
    os.kill(process(victim, "envoy"), signal.SIGKILL)
    found = await joined.since(before, 300)
    lost = found.get("failed", 0) + found.get("tcp_failed", 0)
    logging.getLogger(__name__).info("lost %d of %d", lost, found["sent"] + found["tcp_sent"])
    assert lost <= 120, found  # one of two pods, 120 a second, 2 s until it serves again on a busy machine
    await whole(joined, joined.legacy, joined.bed.namespace, "waypoint")
    async with no_failures(joined):
        pass


async def test_a_killed_agent_is_not_noticed(joined: Joined) -> None:
    """waypoint.md 13.4: started again by its own parent; the pod stays ready; weights written then are obeyed."""
    await joined.weight(50)
    before = await restarts(joined)
    async with no_failures(joined):
        for pod in await pods(joined.legacy, "waypoint", joined.bed.namespace):
            os.kill(process(pod["metadata"]["name"], "landbridge.agent", child=True), signal.SIGKILL)
        await joined.weight(0)

        async def obeyed() -> bool:
            found = await joined.bed.pass_requests(joined.legacy, 60)
            return bool(found.get("eks", 0) == 0)

        await until(obeyed, "the weight written meanwhile obeyed", within=60)
    assert await restarts(joined) == before


async def test_rights_are_enough_and_each_is_used(joined: Joined) -> None:
    """The API server's audit log of all that was before, against the roles; rights for rare days are named."""
    rare = {
        ("landbridge-gateway", "patch", "secrets"),  # a leaf is renewed after 12 h
        ("landbridge-gateway", "delete", "services"),  # a mirror goes when its Service is no longer exported
        ("landbridge-gateway", "list", "trafficsplits"),  # the same: none may go while a split sends traffic to it
        ("landbridge-gateway", "list", "httproutes"),  # where Gateway API is installed
        ("landbridge-waypoint", "list", "httproutes"),
        ("landbridge-waypoint", "watch", "httproutes"),
    }
    used: set[tuple[str, str, str]] = set()
    for line in joined.lab.cluster("legacy").audit.read_text().splitlines():
        with suppress(ValueError, KeyError):
            event = json.loads(line)
            account, ref = event["user"]["username"].rpartition(":")[2], event["objectRef"]
            if account in {"landbridge-gateway", "landbridge-waypoint"} and ref["namespace"] == joined.bed.namespace:
                assert event["responseStatus"]["code"] != 403, event
                used.add((account, event["verb"], ref["resource"]))
    made = roles.for_waypoint(joined.bed.namespace)
    made += roles.for_gateway("eks", Options(namespaces=(joined.bed.namespace,)))
    granted = {
        (role["metadata"]["name"], verb, resource)
        for role in made
        if role["kind"] == "Role" and role["metadata"]["namespace"] == joined.bed.namespace
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used <= granted
    assert granted - used <= rare


async def restarts(joined: Joined) -> dict[tuple[str, str], int]:
    """How often the kubelet has started each container of the waypoints again, so far."""
    found = await pods(joined.legacy, "waypoint", joined.bed.namespace)
    return {
        (pod["metadata"]["name"], status["name"]): status["restartCount"]
        for pod in found
        for status in pod["status"]["containerStatuses"]
    }


async def test_connections_that_bypass_the_waypoint_are_counted(joined: Joined) -> None:
    """waypoint.md 5: a caller that dials a pod is seen; callers through the waypoint are not counted."""
    joined_bed = joined.bed
    image = joined.lab.images["python"]

    # what these callers opened to the pods while their owner had the Service back lasts as long as they like: new ones
    await joined_bed.replace_callers(joined.legacy)
    [address, *_] = sorted(addresses(await slices(joined.legacy, joined, "echo-leaf")))
    direct = joined_bed.deployment("direct", ["caller.py", address, "0.001", "3"], 1, {})
    await joined.legacy.apply(direct)

    async def three() -> bool:
        return await bypass(joined.legacy, joined_bed.echo, clock=CLOCK, image=image) == 3

    await until(three, "three connections past the waypoint, and none of the other callers'", within=120)


async def test_the_api_server_is_away_for_30_s(joined: Joined) -> None:
    """Envoy goes on with the last files; a weight written afterwards is obeyed."""
    await joined.weight(50)
    await joined.bed.pass_requests(joined.legacy, 60)
    async with no_failures(joined):
        await joined.lab.stop_apiserver("legacy")
        try:
            await CLOCK.sleep(30)
        finally:
            await joined.lab.start_apiserver("legacy")
        await joined.weight(0)

        async def obeyed() -> bool:
            found = await joined.bed.pass_requests(joined.legacy, 60)
            return bool(found.get("eks", 0) == 0)

        await until(obeyed, "the weight written afterwards obeyed", within=60)


def process(pod: str, program: str, *, child: bool = False) -> int:
    """The pid, on this machine, of a pod's process; `child`: the one whose parent runs the same program."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if f"POD_NAME={pod}".encode() in (folder / "environ").read_bytes().split(b"\0") and _runs(words, program):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(folder.name)] = parent
        except OSError:
            continue
    chosen = [pid for pid, parent in found.items() if (parent in found) is child]
    assert len(chosen) == 1, (pod, program, found)
    return chosen[0]


def _runs(words: list[bytes], program: str) -> bool:
    name = program.encode()
    return name == words[0].rpartition(b"/")[2] if "." not in program else words[1:3] == [b"-m", name]
