"""Work that nobody calls: schedules, workers, leaders. It may run on one side only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from landbridge.assess.api import read_minor
from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Severity
from landbridge.model.manifest import NONE, containers, is_owned, name_of, namespace_of, subject

SHORT_TTL = 600  # seconds; the hand-over waits for Jobs and proves by their names that each time ran once
SHORT_DEADLINE = 30  # seconds; closing, waiting and opening take some
_SCHEDULERS = re.compile(
    r"celery.*\bbeat\b|\bbeat\b.*celery|sidekiq|clockwork|quartz|shedlock|apscheduler|node-cron|airflow scheduler",
    re.IGNORECASE,
)

_SCHEDULER_WORDS = (
    "celery",
    "sidekiq",
    "clockwork",
    "quartz",
    "shedlock",
    "apscheduler",
    "node-cron",
    "airflow scheduler",
)
"""One of these is in whatever the expression finds."""


def _zone(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("CronJob"):
        if not item["spec"].get("timeZone"):
            yield Seen(subject(item), f"runs at `{item['spec'].get('schedule')}` of a time zone that is not written")


def _ttl(facts: Facts) -> Iterator[Seen]:
    old = read_minor(facts.inventory.target.version) < (1, 21)
    for item in facts.each("CronJob", "Job"):
        spec = item["spec"] if item["kind"] == "Job" else (item["spec"].get("jobTemplate") or NONE).get("spec") or NONE
        ttl = spec.get("ttlSecondsAfterFinished")
        if is_owned(item) or ttl is None:
            continue
        if old:
            yield Seen(
                subject(item), f"has ttlSecondsAfterFinished {ttl}, which the target (before 1.21) does not obey"
            )
        elif ttl < SHORT_TTL:
            yield Seen(
                subject(item), f"has ttlSecondsAfterFinished {ttl}: its Jobs are gone before they can be counted"
            )


def _deadline(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("CronJob"):
        deadline = item["spec"].get("startingDeadlineSeconds")
        if deadline is not None and deadline < SHORT_DEADLINE:
            yield Seen(subject(item), f"skips a time that it cannot start within {deadline} s")


def _suspended(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("CronJob"):
        if item["spec"].get("suspend"):
            yield Seen(subject(item), "is suspended on the source and stays so on both sides")


def _jobs(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("Job"):
        status = item.get("status") or NONE
        if not is_owned(item) and not status.get("completionTime") and not item["spec"].get("suspend"):
            yield Seen(subject(item), "is a Job that has not ended; a copy would do its work twice")


def _workers(facts: Facts) -> Iterator[Seen]:
    for item, _ in facts.running:
        if subject(item) in facts.behind or item["kind"] == "DaemonSet":
            continue
        known = facts.migration.workers.get(f"{namespace_of(item)}/{name_of(item)}")
        if known is None or known.idempotent is None:
            yield Seen(subject(item), "runs behind no Service: it takes its work from somewhere else")


def _daemons(facts: Facts) -> Iterator[Seen]:
    for item, _ in facts.running:
        if item["kind"] == "DaemonSet":
            yield Seen(subject(item), "is a DaemonSet and is not moved: agents belong to a cluster")


def _schedulers(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.running:
        words = [word for c in containers(spec) for word in (*(c.get("command") or ()), *(c.get("args") or ()))]
        names = [str(v["name"]) for c in containers(spec) for v in c.get("env") or ()]
        said = (" ".join(words), " ".join(names))
        match = next(filter(None, map(_SCHEDULERS.search, said)), None) if _may_schedule("\n".join(said)) else None
        if match:
            yield Seen(
                subject(item), f"seems to have a scheduler inside ({match[0]}): on two sides it runs everything twice"
            )


def _may_schedule(text: str) -> bool:
    """Whether a search can find anything: plain words are looked for ten times as fast as the expression."""
    lower = text.lower()
    return any(word in lower for word in _SCHEDULER_WORDS)


def _leaders(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("Role"):
        for rule in item.get("rules") or ():
            writes = {"create", "update", "patch", "*"} & set(rule.get("verbs") or ())
            if "leases" in (rule.get("resources") or ()) and writes:
                yield Seen(subject(item), "lets its users hold Leases: two clusters elect two leaders")
                break


CHECKS = (
    Check(
        name="cronjob-time-zone",
        title="schedules name their time zone",
        severity=Severity.WARNING,
        what="A CronJob without spec.timeZone.",
        why="Its times are those of the controller manager's own zone. A self-hosted cluster may run in local time, "
        "EKS runs in UTC: the same schedule fires hours apart.",
        advice="write spec.timeZone on the source before the copy",
        find=_zone,
    ),
    Check(
        name="job-ttl",
        title="finished Jobs stay long enough to be counted",
        severity=Severity.WARNING,
        what="ttlSecondsAfterFinished that is short, or that the target does not obey.",
        why="The names of Jobs (`<cronjob>-<minute>`) over both clusters prove that every time ran exactly once. Jobs "
        "that are gone at once cannot be counted; in clusters before 1.21 they pile up instead.",
        advice="use history limits, or at least 600 s, until the hand-over is done",
        find=_ttl,
    ),
    Check(
        name="cronjob-deadline",
        title="schedules survive a hand-over of half a minute",
        severity=Severity.WARNING,
        what="startingDeadlineSeconds below 30.",
        why="A time that falls between closing one side and opening the other is run as a catch-up, unless the "
        "deadline has passed: then it is skipped.",
        advice="raise startingDeadlineSeconds to a minute or more for the migration",
        find=_deadline,
    ),
    Check(
        name="cronjob-suspended",
        title="schedules are open on the source",
        severity=Severity.NOTE,
        what="A CronJob that is suspended already.",
        why="One tool unsuspended such jobs after its migration, since it did not remember that they had been.",
        advice="nothing to do; open it where it should run when the migration is over",
        find=_suspended,
    ),
    Check(
        name="unfinished-job",
        title="no single Jobs are running",
        severity=Severity.WARNING,
        what="A Job that no CronJob made and that has not ended.",
        why="Its copy would start at once and do the same work again: mails sent twice, imports doubled.",
        advice="let it end, then take the inventory again; its copy arrives suspended",
        find=_jobs,
    ),
    Check(
        name="worker",
        title="workloads behind no Service say whether they may run twice",
        severity=Severity.WARNING,
        what="A workload that no Service selects and that migration.yaml says nothing about.",
        why="A consumer, poller or scheduler has no traffic to divide. Whether two of them do harm only its owners "
        "know; unknown counts as yes, so the source's stops before the target's starts.",
        advice="write `workers: {namespace/name: {idempotent: true}}` (or false, or skip: true) in migration.yaml",
        find=_workers,
    ),
    Check(
        name="daemon-set",
        title="no DaemonSets among the services",
        severity=Severity.NOTE,
        what="A DaemonSet in a namespace that moves.",
        why="Log shippers and agents run once a node and report the node they are on.",
        advice="install the target's own; a DaemonSet that serves callers needs a Deployment first",
        find=_daemons,
    ),
    Check(
        name="scheduler-inside",
        title="no schedulers inside programs",
        severity=Severity.WARNING,
        what="A command line or variable that names a scheduler (celery beat, sidekiq, Quartz and the like).",
        why="A server that was moved while the old one still ran sent every mail twice, for both ran the same cron.",
        advice="lock it in a store that both sides share, or give it a switch and keep it off on the target",
        find=_schedulers,
    ),
    Check(
        name="leader-election",
        title="no leaders elected inside the cluster",
        severity=Severity.WARNING,
        what="A Role that allows to write Leases.",
        why="A Lease lives in one cluster. Programs that elect a leader through it have two during a migration; locks "
        "in a database that both sides share are not concerned.",
        advice="keep the target's standby (replicas 0) until the source's is stopped, or lock in a shared store",
        find=_leaders,
    ),
)
