"""Runs all checks."""

from __future__ import annotations

from itertools import chain

from landbridge.assess import (
    adoption,
    api,
    capacity,
    classes,
    identity,
    known,
    network,
    owners,
    policies,
    readers,
    schedules,
    state,
    workloads,
)
from landbridge.assess.check import Check
from landbridge.assess.facts import Facts
from landbridge.garbage import resting
from landbridge.model.inventory import Finding, Severity

THEMES = (
    known,
    api,
    adoption,
    state,
    workloads,
    schedules,
    identity,
    network,
    policies,
    readers,
    classes,
    capacity,
    owners,
)
CHECKS: dict[str, Check] = {check.name: check for check in chain.from_iterable(theme.CHECKS for theme in THEMES)}
"""Every check by its name, in the order of the report."""

_ORDER = {severity: number for number, severity in enumerate(Severity)}


@resting()
def assess(facts: Facts) -> tuple[Finding, ...]:
    """All findings, blockers first, then by check and object; accepted ones say why."""
    findings = [
        check.finding(seen, facts.migration.reason(check.name, seen.object))
        for check in CHECKS.values()
        for seen in check.find(facts)
    ]
    findings.sort(key=lambda finding: (_ORDER[finding.severity], finding.check, finding.object, finding.message))
    return tuple(dict.fromkeys(findings))


def open_blockers(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The blockers that nobody has accepted: they stop the plan."""
    return tuple(f for f in findings if f.severity is Severity.BLOCKER and not f.accepted)
