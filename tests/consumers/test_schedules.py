"""CronJobs handed over between two real CronJob controllers: no time of the schedule runs twice, none is left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from landbridge.clients.kinds import CRONJOB, JOB
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import DeadlineError, SystemClock, parse_rfc3339, rfc3339, wait_for
from landbridge.consumers.schedules import CLOSED_BY, SCHEDULED, hand_back, hand_over, jobs, last_scheduled
from landbridge.errors import DriftError
from landbridge.lab import ApiServer, apiserver
from landbridge.model.service import Manifest, ObjectRef
from landbridge.translate.kubernetes import transform
from landbridge.translate.rules import Keep, Rules

pytestmark = pytest.mark.api
CLOCK = SystemClock()
REF = ObjectRef("batch/v1", "CronJob", "jobs", "report")
Pair = tuple[Kubernetes, Kubernetes]


def cronjob(**spec: Any) -> Manifest:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    job = {"spec": {"template": {"spec": pod}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "report", "namespace": "jobs"},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": job, **spec},
    }


@pytest.fixture
async def servers() -> AsyncIterator[tuple[ApiServer, ApiServer]]:
    async with apiserver(name="legacy", controllers=True) as old, apiserver(name="eks", controllers=True) as new:
        yield old, new


@pytest.fixture
async def pair(servers: tuple[ApiServer, ApiServer]) -> AsyncIterator[Pair]:
    old, new = servers
    async with (
        Kubernetes.connect(old.kubeconfig, name="legacy") as source,
        Kubernetes.connect(new.kubeconfig, name="eks") as target,
    ):
        for k8s in (source, target):
            await k8s.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "jobs"}})
        yield source, target


async def finish(k8s: Kubernetes, job: Manifest) -> None:
    """What a kubelet and the Job controller would do: the Job succeeded."""
    now = rfc3339(CLOCK.now())[:19] + "Z"
    done = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("SuccessCriteriaMet", "Complete")]
    status = {"conditions": done, "startTime": now, "completionTime": now, "succeeded": 1, "active": 0}
    status |= {"ready": 0, "uncountedTerminatedPods": {}}
    await k8s.patch(JOB, job["metadata"]["name"], {"status": status}, "jobs", subresource="status")


async def start_job(k8s: Kubernetes, minute: int) -> Manifest:
    """A Job as the CronJob controller makes it for one minute of the schedule."""
    owner = await k8s.get(CRONJOB, "report", "jobs")
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "controller": True}
    meta: Manifest = {
        "name": f"report-{minute}",
        "namespace": "jobs",
        "annotations": {SCHEDULED: rfc3339(minute * 60)[:19] + "Z"},
        "ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}],
    }
    spec = {**owner["spec"]["jobTemplate"]["spec"], "suspend": True}  # no pods are wanted here
    job = await k8s.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})

    async def known() -> bool:
        return bool((await k8s.get(JOB, meta["name"], "jobs")).get("status"))

    await wait_for(known, what="the Job controller knows the Job", within=20, clock=CLOCK)
    return job


def this_minute() -> int:
    """An earlier one could lie before the schedule's last time, which a CronJob that is opened then makes up for."""
    return int(CLOCK.now() // 60)


async def copy_over(source: Kubernetes, target: Kubernetes) -> None:
    answer = transform(await source.get(CRONJOB, "report", "jobs"), Rules())
    assert isinstance(answer, Keep)
    await target.apply(answer.manifest)


async def test_time_that_the_source_ran_is_not_run_again(pair: Pair) -> None:
    """The schedule fires each minute on the target's clock; only minutes after the source's last one may run."""
    source, target = pair
    await source.apply(cronjob(schedule="* * * * *", suspend=True))
    await source.patch(CRONJOB, "report", {"spec": {"suspend": False, "schedule": "0 0 1 1 *"}}, "jobs")
    minute = this_minute()
    await copy_over(source, target)
    await target.patch(CRONJOB, "report", {"spec": {"schedule": "* * * * *"}}, "jobs")
    job = await start_job(source, minute)
    await finish(source, job)
    receipts = await hand_over(source, target, REF, clock=CLOCK)
    opened = await target.get(CRONJOB, "report", "jobs")
    assert opened["spec"]["suspend"] is False
    assert parse_rfc3339(opened["status"]["lastScheduleTime"]) == minute * 60
    assert (await source.get(CRONJOB, "report", "jobs"))["spec"]["suspend"] is True

    async def ran() -> list[Manifest]:
        return await jobs(target, REF)

    first = await wait_for(ran, what="the next minute runs on the target", within=75, clock=CLOCK)
    started = [int(job["metadata"]["name"].rpartition("-")[2]) for job in first]
    assert started[0] == minute + 1
    assert receipts[0].prior == {"spec": {"suspend": False}, "status": {"lastScheduleTime": None}}


async def test_running_jobs_are_waited_for_and_the_way_back_is_the_same(pair: Pair) -> None:
    source, target = pair
    await source.apply(cronjob())
    await copy_over(source, target)
    job = await start_job(source, this_minute())
    task = asyncio.create_task(hand_over(source, target, REF, clock=CLOCK))

    async def closed() -> bool:
        return bool((await source.get(CRONJOB, "report", "jobs"))["spec"].get("suspend"))

    await wait_for(closed, what="the source is closed", within=10, clock=CLOCK)
    assert (await target.get(CRONJOB, "report", "jobs"))["spec"]["suspend"] is True
    await finish(source, job)
    receipts = await task
    assert (await target.get(CRONJOB, "report", "jobs"))["spec"]["suspend"] is False
    assert await hand_over(source, target, REF, clock=CLOCK) is not None  # safe to repeat
    await hand_back(source, target, receipts, clock=CLOCK)
    back = await source.get(CRONJOB, "report", "jobs")
    assert back["spec"]["suspend"] is False
    assert CLOSED_BY not in (back["metadata"].get("annotations") or {})
    assert (await target.get(CRONJOB, "report", "jobs"))["spec"]["suspend"] is True


async def test_job_that_does_not_end_leaves_the_source_open(pair: Pair) -> None:
    source, target = pair
    await source.apply(cronjob())
    await copy_over(source, target)
    await start_job(source, this_minute())
    with pytest.raises(DeadlineError):
        await hand_over(source, target, REF, clock=CLOCK, patience=1)
    assert (await source.get(CRONJOB, "report", "jobs"))["spec"]["suspend"] is False
    assert (await target.get(CRONJOB, "report", "jobs"))["spec"]["suspend"] is True


async def test_hand_over_that_died_after_closing_goes_on(pair: Pair) -> None:
    source, target = pair
    await source.apply(cronjob())
    await copy_over(source, target)
    closed = {"metadata": {"annotations": {CLOSED_BY: "landbridge"}}, "spec": {"suspend": True}}
    await source.patch(CRONJOB, "report", closed, "jobs")
    receipts = await hand_over(source, target, REF, clock=CLOCK)
    assert (await target.get(CRONJOB, "report", "jobs"))["spec"]["suspend"] is False
    assert (receipts[0].prior or {})["spec"] == {"suspend": False}


async def test_schedule_closed_by_a_person_stays_closed(pair: Pair) -> None:
    source, target = pair
    await source.apply(cronjob(suspend=True))
    await copy_over(source, target)
    receipts = await hand_over(source, target, REF, clock=CLOCK)
    assert (await target.get(CRONJOB, "report", "jobs"))["spec"]["suspend"] is True
    await hand_back(source, target, receipts, clock=CLOCK)
    assert (await source.get(CRONJOB, "report", "jobs"))["spec"]["suspend"] is True


async def test_schedule_open_on_both_sides_is_drift(pair: Pair) -> None:
    source, target = pair
    await source.apply(cronjob())
    await target.apply(cronjob())
    with pytest.raises(DriftError, match="open on both sides"):
        await hand_over(source, target, REF, clock=CLOCK)
    assert not (await source.get(CRONJOB, "report", "jobs"))["spec"].get("suspend")


def test_job_that_the_status_does_not_know_counts() -> None:
    status = {"lastScheduleTime": "2026-11-21T10:00:00Z"}
    meta = {"name": "report", "creationTimestamp": "2026-01-01T00:00:00Z"}
    started = [{"metadata": {"annotations": {SCHEDULED: "2026-11-21T10:05:00Z"}}}]
    assert last_scheduled({"metadata": meta, "status": status}, started) == "2026-11-21T10:05:00Z"
    assert last_scheduled({"metadata": meta}, []) == "2026-01-01T00:00:00Z"
