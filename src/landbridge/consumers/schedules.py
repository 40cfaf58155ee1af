"""CronJobs handed from one cluster to the other: each time of the schedule runs exactly once.

The CronJob controller starts the most recent time missed since `status.lastScheduleTime` (or since creation), so a
copy that is opened without that status repeats what the source has done. The order is: close one side, wait for its
Jobs, carry lastScheduleTime over through the status subresource, open the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from landbridge.clients.kinds import CRONJOB, JOB
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, parse_rfc3339, wait_for
from landbridge.errors import DriftError
from landbridge.model.journal import Receipt
from landbridge.model.service import Manifest, ObjectRef, Side

Say = Callable[[str], None]
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
CLOSED_BY = "landbridge.dev/closed-by"  # tells our closing from a person's, also after we died in the middle
SETTLE_SECONDS = 2.0  # the controller may just be starting a Job from its cache; milliseconds in truth


CLOSE: Mapping[str, Any] = {"metadata": {"annotations": {CLOSED_BY: "landbridge"}}, "spec": {"suspend": True}}
OPEN: Mapping[str, Any] = {"metadata": {"annotations": {CLOSED_BY: None}}, "spec": {"suspend": False}}


async def hand_over(
    source: Kubernetes,
    target: Kubernetes,
    ref: ObjectRef,
    *,
    clock: Clock,
    patience: float = 3600.0,
    say: Say = lambda _: None,
) -> tuple[Receipt, ...]:
    """Close the schedule on the source, wait at most `patience` seconds for its Jobs, open it on the target.

    The target's copy must exist and be suspended (DriftError otherwise). A schedule that was suspended on the source
    stays closed on both sides. Safe to repeat: what is done is not done again.
    """
    here = await source.get(CRONJOB, ref.name, ref.namespace)
    there = await target.get(CRONJOB, ref.name, ref.namespace)
    receipts = (_receipt(Side.SOURCE, ref, here), _receipt(Side.TARGET, ref, there))
    if _closed_by_a_person(here) or (_closed_by_us(here) and not there["spec"].get("suspend")):
        return receipts
    if not there["spec"].get("suspend"):
        raise DriftError(
            f"{ref} is open on both sides",
            where=target.name,
            advice="suspend it on the target; somebody opened it before it was handed over",
        )
    await _move(source, target, ref, clock=clock, patience=patience, say=say)
    return receipts


async def hand_back(
    source: Kubernetes,
    target: Kubernetes,
    receipts: Sequence[Receipt],
    *,
    clock: Clock,
    patience: float = 3600.0,
    say: Say = lambda _: None,
) -> None:
    """The same the other way, for a roll back; a schedule that was closed before stays closed."""
    first = next(receipt for receipt in receipts if receipt.side is Side.SOURCE)
    ref, prior = first.ref, first.prior or {}
    here = await source.get(CRONJOB, ref.name, ref.namespace)
    if (prior.get("spec") or {}).get("suspend") or not _closed_by_us(here):
        return
    there = await target.find(CRONJOB, ref.name, ref.namespace)
    if there is None:
        await source.patch(CRONJOB, ref.name, OPEN, ref.namespace)
    else:
        await _move(target, source, ref, clock=clock, patience=patience, say=say)


async def _move(old: Kubernetes, new: Kubernetes, ref: ObjectRef, *, clock: Clock, patience: float, say: Say) -> None:
    """Close `old`, wait, carry over, open `new`; `old` is opened again if its Jobs do not end in time."""
    await old.patch(CRONJOB, ref.name, CLOSE, ref.namespace)
    say(f"{ref} is closed on {old.name}")
    await clock.sleep(SETTLE_SECONDS)

    async def idle() -> bool:
        return not [job for job in await jobs(old, ref) if not finished(job)]

    try:
        await wait_for(idle, what=f"the Jobs of {ref} on {old.name} have ended", within=patience, clock=clock, every=1)
    except BaseException:
        await old.patch(CRONJOB, ref.name, OPEN, ref.namespace)
        raise
    last = last_scheduled(await old.get(CRONJOB, ref.name, ref.namespace), await jobs(old, ref))
    await new.patch(CRONJOB, ref.name, {"status": {"lastScheduleTime": last}}, ref.namespace, subresource="status")
    await new.patch(CRONJOB, ref.name, OPEN, ref.namespace)
    say(f"{ref} is open on {new.name}, last run {last}")


async def jobs(k8s: Kubernetes, ref: ObjectRef) -> list[Manifest]:
    """The Jobs that a CronJob has started and that still exist."""
    return [job for job in await k8s.list(JOB, ref.namespace) if _owned(job, ref.name)]


def _closed_by_us(cronjob: Manifest) -> bool:
    return bool(cronjob["spec"].get("suspend")) and CLOSED_BY in (cronjob["metadata"].get("annotations") or {})


def _closed_by_a_person(cronjob: Manifest) -> bool:
    return bool(cronjob["spec"].get("suspend")) and not _closed_by_us(cronjob)


def _owned(job: Manifest, name: str) -> bool:
    owners = job["metadata"].get("ownerReferences") or ()
    return any(owner["kind"] == "CronJob" and owner["name"] == name for owner in owners)


def finished(job: Manifest) -> bool:
    """Whether a Job has succeeded or failed for good."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(entry["type"] in {"Complete", "Failed"} and entry["status"] == "True" for entry in conditions)


def last_scheduled(cronjob: Manifest, started: Sequence[Manifest]) -> str:
    """The last time of the schedule that ran, or the CronJob's creation when none did.

    Looks at the Jobs as well: the controller creates a Job first and writes the status afterwards, and that write is
    refused when the CronJob was suspended in between.
    """
    times = [job["metadata"].get("annotations", {}).get(SCHEDULED) for job in started]
    status: Mapping[str, Any] = cronjob.get("status") or {}
    times.append(status.get("lastScheduleTime"))
    known = [time for time in times if time]
    return max(known, key=parse_rfc3339) if known else str(cronjob["metadata"]["creationTimestamp"])


def _receipt(side: Side, ref: ObjectRef, cronjob: Manifest) -> Receipt:
    status = (cronjob.get("status") or {}).get("lastScheduleTime")
    prior = {"spec": {"suspend": _closed_by_a_person(cronjob)}, "status": {"lastScheduleTime": status}}
    return Receipt(side=side, ref=ref, prior=prior, version=cronjob["metadata"]["resourceVersion"])
