"""Kinds and versions that the target does not serve."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Severity
from landbridge.model.manifest import subject
from landbridge.model.service import Manifest
from landbridge.translate.drop import dropped

_MINOR = re.compile(r"v?(\d+)\.(\d+)")


class Removed(NamedTuple):
    """When a kind of a version went, and what follows it."""

    minor: tuple[int, int]
    replacement: str


@cache
def removed_apis() -> Mapping[tuple[str, str], Removed]:
    """(apiVersion, kind) to when it went, from removed_apis.tsv."""
    text = files("landbridge.assess").joinpath("removed_apis.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")][1:]
    return {
        (row[1], kind): Removed(read_minor(row[0]), row[5])
        for row in rows
        if len(row) > 5
        for kind in row[2].split(",")
    }


def read_minor(version: str) -> tuple[int, int]:
    """`v1.34.4-eks-1` as (1, 34); (0, 0) where it cannot be read."""
    match = _MINOR.match(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _gone(facts: Facts) -> Iterator[Manifest]:
    """The source's objects that the target does not serve as they are."""
    if facts.unserved:
        yield from (o for o in facts.inventory.source.objects if (o["apiVersion"], o["kind"]) in facts.unserved)


def _removed(facts: Facts) -> Iterator[Seen]:
    table, target = removed_apis(), read_minor(facts.inventory.target.version)
    for item in _gone(facts):
        key = (item["apiVersion"], item["kind"])
        row = table.get(key)
        if row and dropped(item) is None:
            yield Seen(subject(item), f"is of {key[0]}, which the target does not serve", _use(row.replacement))
    applied: Mapping[str, str] = facts.inventory.extra.get("applied") or {}
    for name, version in applied.items():
        row = table.get((version, name.partition(" ")[0]))
        if row and row.minor <= target:
            message = f"was written as {version}, which Kubernetes {row.minor[0]}.{row.minor[1]} and later refuse"
            yield Seen(name, message, f"{_use(row.replacement)} in its manifest or chart", Severity.WARNING)


def _use(replacement: str) -> str:
    return f"use {replacement}" if replacement and not replacement.startswith("(") else "there is no replacement"


def _unknown(facts: Facts) -> Iterator[Seen]:
    table = removed_apis()
    for item in _gone(facts):
        key = (item["apiVersion"], item["kind"])
        if key not in table and item["metadata"].get("namespace") and dropped(item) is None:
            served = facts.unserved[key]
            seen = f"the target serves it as {served} only" if served else "the target does not know this kind"
            yield Seen(subject(item), f"is a {key[1]} of {key[0]}; {seen}")


def _older(facts: Facts) -> Iterator[Seen]:
    source, target = facts.inventory.source, facts.inventory.target
    if read_minor(target.version) < read_minor(source.version):
        message = f"the target is Kubernetes {target.version}, older than the source's {source.version}"
        yield Seen(f"Cluster {target.name}", message)


CHECKS = (
    Check(
        name="removed-api",
        title="the target serves the API versions in use",
        severity=Severity.BLOCKER,
        what="An object whose apiVersion Kubernetes has removed and the target does not serve; as a warning, one that "
        "people still write in such a version although the API server converts it.",
        why="The API server answers in every version it serves, so a live object looks fine while the manifest in git "
        "does not: after the move the next deploy fails. The table is assess/removed_apis.tsv.",
        advice="move its manifest to the replacement",
        find=_removed,
    ),
    Check(
        name="custom-kind",
        title="the target knows the custom kinds in use",
        severity=Severity.BLOCKER,
        what="An object of a kind that the target does not serve in any version that the source serves.",
        why="Its CustomResourceDefinition and its operator are missing. An object alone would do nothing, and what the "
        "operator makes (certificates, secrets, databases) would be missing when pods start.",
        advice="install the operator with its definitions on the target, or exclude the object from the copy",
        find=_unknown,
    ),
    Check(
        name="older-target",
        title="the target is not older than the source",
        severity=Severity.WARNING,
        what="The target's Kubernetes minor version is lower than the source's.",
        why="Fields that only the newer version knows are refused by strict validation, or dropped.",
        advice="upgrade the target first, or check the copy with `landbridge run --dry-run`",
        find=_older,
    ),
)
