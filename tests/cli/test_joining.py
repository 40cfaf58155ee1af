"""`landbridge gateways` and `rotate`: their tables and exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect import gateways as doors
from landbridge.connect import rotate as rotating
from landbridge.connect.gateways import LinkedGateway
from landbridge.errors import Exit
from tests.cli.conftest import Command

EKS = LinkedGateway(
    cluster="eks",
    seen_from="legacy",
    alive=True,
    services=409,
    ready=408,
    latency_ms={"p50": 3.04, "p95": 8.0, "p99": 10.2},
    addresses=("10.0.0.1:15443",),
)
DEAD = LinkedGateway(
    cluster="legacy",
    seen_from="eks",
    alive=False,
    services=51,
    ready=0,
    latency_ms={"p50": 2.0, "p95": None, "p99": None},
    problem="it does not answer",
)


def finds(monkeypatch: pytest.MonkeyPatch, *rows: LinkedGateway) -> None:
    async def gateways(*_: Any) -> list[LinkedGateway]:
        return list(rows)

    monkeypatch.setattr(doors, "gateways", gateways)


def test_the_table_of_gateways(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, EKS, DEAD)
    ended = command("gateways")
    assert [line.split() for line in ended.out.splitlines() if line.strip()] == [
        ["CLUSTER", "ALIVE", "NUM_SVC", "LATENCY_P50", "LATENCY_P95", "LATENCY_P99"],
        ["eks", "True", "409", "3.0ms", "8.0ms", "10ms"],
        ["legacy", "False", "51", "-", "-", "-"],
    ]
    assert ended.code == Exit.ERROR
    assert "legacy, seen from eks: it does not answer" in ended.err


def test_gateways_that_live_are_exit_0_and_json_has_what_the_table_has_not(
    place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds(monkeypatch, EKS)
    ended = command("gateways", "-o", "json")
    assert ended.code == Exit.DONE
    (row,) = ended.json
    assert (row["cluster"], row["seen_from"], row["ready"]) == ("eks", "legacy", 408)
    assert row["addresses"] == ["10.0.0.1:15443"]


def test_before_anything_is_exported_there_is_a_hint_and_no_error(
    place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = LinkedGateway(cluster="eks", seen_from="legacy", alive=False, services=0, ready=0, unused=True)
    finds(monkeypatch, nobody)
    ended = command("gateways")
    assert ended.code == Exit.DONE
    assert ended.out.splitlines()[-1].split() == ["eks", "-", "0", "-", "-", "-"]
    assert "nothing is exported yet" in ended.err
    finds(monkeypatch, nobody, DEAD)
    assert command("gateways").code == Exit.ERROR


@pytest.mark.parametrize("name", ["legacy", "eks"])
def test_rotate_gives_the_cluster_named_a_new_authority_and_the_other_one_learns_it(
    place: Path, command: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[tuple[str, str]] = []

    async def rotate(k8s: Kubernetes, other: Kubernetes, *, progress: Any) -> None:
        asked.append((k8s.name, other.name))
        progress("half way")

    monkeypatch.setattr(rotating, "rotate", rotate)
    ended = command("rotate", name, "-o", "json")
    assert (ended.code, ended.json) == (Exit.DONE, {"rotated": name})
    assert asked == [(name, "eks" if name == "legacy" else "legacy")]
    assert "half way" in ended.err
