from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from landbridge.agent.admin import Admin, EnvoyAwayError
from landbridge.agent.files import Files, adds, place
from landbridge.agent.server import by_port
from landbridge.envoy.discovery import join, resource, version_of
from landbridge.envoy.names import CLUSTERS_FILE, LISTENERS_FILE, ROUTES_FILE
from landbridge.envoy.render import files
from landbridge.envoy.state import Backend, Endpoint, Listener, Waypoint
from landbridge.model.service import Protocol
from tests.fakes import FakeClock


def state(*services: str, weight: int = 100) -> Waypoint:
    listeners = [
        Listener(
            namespace="shop",
            service=name,
            port=80,
            listen=20000 + number,
            protocol=Protocol.HTTP,
            backends=(
                Backend(service=f"{name}-leaf", weight=weight, local=(Endpoint(address="10.0.0.1", port=8080),)),
                Backend(service=f"{name}-two", weight=100 - weight, local=(Endpoint(address="10.0.0.2", port=8080),)),
            ),
        )
        for number, name in enumerate(services)
    ]
    return Waypoint(cluster="legacy", namespace="shop", listeners=tuple(listeners))


class Envoy:
    """An admin interface that obeys what lies in a folder, but for the files that it refuses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refuses: set[str] = set()
        self.order: list[str] = []
        self._seen: dict[str, str] = {}

    def look(self) -> dict[str, str]:
        for name in (CLUSTERS_FILE, ROUTES_FILE, LISTENERS_FILE):
            file = self.folder / name
            version = version_of(file.read_bytes()) if file.exists() else ""
            if version and version != self._seen.get(name) and name not in self.refuses:
                self.order.append(name)
                self._seen[name] = version
        return self._seen

    async def json(self, *_: Any) -> dict[str, Any]:
        seen = self.look()
        texts = {
            CLUSTERS_FILE: "cluster_manager.cds.version_text",
            ROUTES_FILE: "http.waypoint.rds.routes.version_text",
            LISTENERS_FILE: "listener_manager.lds.version_text",
        }
        return {"stats": [{"name": texts[name], "value": version} for name, version in seen.items()]}


def writer(folder: Path) -> tuple[Files, Envoy]:
    envoy = Envoy(folder)
    return Files(folder, envoy, FakeClock()), envoy  # type: ignore[arg-type]


async def test_clusters_are_obeyed_before_listeners_are_written(tmp_path: Path) -> None:
    """waypoint.md 13.2."""
    files_of, envoy = writer(tmp_path)
    acknowledged = await files_of.write(files(state("web")))
    assert acknowledged.active
    assert envoy.order.index(CLUSTERS_FILE) < envoy.order.index(LISTENERS_FILE)


async def test_what_envoy_refuses_stops_what_depends_on_it(tmp_path: Path) -> None:
    files_of, envoy = writer(tmp_path)
    envoy.refuses = {CLUSTERS_FILE}
    acknowledged = await files_of.write(files(state("web")))
    assert not acknowledged.active
    assert CLUSTERS_FILE in acknowledged.problem
    assert not (tmp_path / LISTENERS_FILE).exists()
    envoy.refuses = set()
    assert (await files_of.write(files(state("web")))).active


async def test_an_unchanged_state_writes_nothing(tmp_path: Path) -> None:
    files_of, _ = writer(tmp_path)
    await files_of.write(files(state("web")))
    before = {file.name: file.stat().st_ino for file in tmp_path.iterdir()}
    await files_of.write(files(state("web")))
    assert {file.name: file.stat().st_ino for file in tmp_path.iterdir()} == before


async def test_listeners_are_untouched_by_weights(tmp_path: Path) -> None:
    files_of, _ = writer(tmp_path)
    await files_of.write(files(state("web")))
    before = (tmp_path / LISTENERS_FILE).stat().st_ino
    await files_of.write(files(state("web", weight=10)))
    assert (tmp_path / LISTENERS_FILE).stat().st_ino == before


async def test_generations_differ_with_what_is_wanted(tmp_path: Path) -> None:
    files_of, _ = writer(tmp_path)
    first = (await files_of.write(files(state("web")))).generation
    assert (await files_of.write(files(state("web", weight=1)))).generation != first
    assert (await files_of.write(files(state("web")))).generation == first


def test_a_file_is_replaced_whole_and_by_rename(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    place(file, b"one")
    with file.open("rb") as held:
        place(file, b"two")
        assert held.read() == b"one"
    assert file.read_bytes() == b"two"
    assert [item.name for item in tmp_path.iterdir()] == ["x.json"]


def test_new_names_are_noticed() -> None:
    def document(*found: str) -> bytes:
        return join([resource("envoy.config.cluster.v3.Cluster", {"name": name}) for name in found])

    assert adds(None, document("a"))
    assert adds(document("a"), document("a", "b"))
    assert not adds(document("a", "b"), document("a"))


async def test_an_envoy_that_is_away_is_said_so() -> None:
    admin = Admin("127.0.0.1:1")
    with pytest.raises(EnvoyAwayError):
        await admin.get("/ready")
    await admin.close()


def test_connections_are_counted_once_by_port() -> None:
    stats = {
        "listener.[__]_20000.downstream_cx_active": 3,
        "listener.[__]_20000.worker_0.downstream_cx_active": 3,
        "listener.0.0.0.0_15443.downstream_cx_active": 1,
        "listener.admin.downstream_cx_active": 1,
    }
    assert by_port(stats) == {"20000": 3, "15443": 1}
