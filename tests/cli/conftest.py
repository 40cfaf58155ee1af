"""A migration's folder as a reader of the docs would have it, over two clusters that do not answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from landbridge.cli import folder, invoke
from landbridge.clock import SystemClock
from landbridge.errors import Exit
from landbridge.model.journal import Phase, State
from landbridge.model.plan import Plan
from landbridge.model.service import ServiceId
from landbridge.run.journal import FOLDER, Journal
from landbridge.settings import render_template
from landbridge.settings.migration import Cluster
from tests.assess.world import deployment, healthy, inventory, service

DEAD = "https://127.0.0.1:9"  # the discard port: nobody listens


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it printed where."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What is on stdout, which has to be JSON alone."""
        return json.loads(self.out)


Command = Callable[..., Ended]


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    contexts = ("legacy", "eks")
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": DEAD}} for name in contexts],
        "users": [{"name": "me", "user": {"token": "x"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in contexts],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.delenv("LANDBRIDGE_DIR", raising=False)
    return path


@pytest.fixture
def command(tmp_path: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in the migration's folder."""
    place = tmp_path / "migration"
    place.mkdir()

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        code = invoke([*arguments, "-C", str(place)])
        return Ended(int(code), *capsys.readouterr())

    return run


@pytest.fixture
def place(command: Command, tmp_path: Path) -> Path:
    """The folder with migration.yaml, inventory.json, assessment.json and plan.yaml of three services."""
    found = tmp_path / "migration"
    ends = {side: Cluster(name=side, context=side) for side in ("legacy", "eks")}
    objects = healthy(deployment("cart"), service("cart"), deployment("payments"), service("payments"))
    names = [ServiceId("shop", name) for name in ("cart", "payments", "web")]
    text = render_template(source=ends["legacy"], target=ends["eks"], namespaces=["shop"], services=names)
    (found / "migration.yaml").write_text(text)
    (found / "inventory.json").write_bytes(folder.inventories.dump_json(inventory(objects)))
    assert command("assess").code == Exit.DONE
    assert command("plan").code == Exit.DONE
    return found


@pytest.fixture
def begun(place: Path) -> Path:
    """The same folder with the journal of a run: web is held at 25 %."""
    with Journal(place / FOLDER / "journal.db") as journal:
        web = ServiceId("shop", "web")
        held = State(service=web, phase=Phase.HELD, weight=25, reason="hold, evidence growing")
        journal.advance(0, held, SystemClock().now())
    return place


def plan_of(place: Path) -> Plan:
    """The plan in the folder."""
    return folder.plan_of(place / "plan.yaml")
