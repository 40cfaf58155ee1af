"""What the agent's pages say of Envoy is of this moment, whatever Envoy's statistics have kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from landbridge.agent.admin import Admin
from landbridge.agent.options import Options, Role
from landbridge.agent.server import Pages, Worker
from tests.fakes import FakeClock


class Envoy:
    """An admin interface that is slow to answer, of an Envoy that last flushed its statistics at its start."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.began = clock.at

    async def json(self, path: str) -> dict[str, Any]:
        if path == "/server_info":
            return {"uptime_all_epochs": f"{int(self.clock.at - self.began)}s"}
        self.clock.at += 3
        return {"stats": [{"name": "server.uptime", "value": 0}]}


class Idle:
    """A worker that has nothing to tell."""

    def watch_age(self) -> float:
        return 0.0

    def obeyed_state(self) -> None:
        return None


async def test_envoys_start_does_not_move_with_how_old_or_late_its_statistics_are(tmp_path: Path) -> None:
    """`retire` waited for nothing: each waypoint that had not been asked for seconds counted as started again."""
    clock = FakeClock()
    envoy = Envoy(clock)
    options = Options(role=Role.WAYPOINT, namespace="shop", cluster="legacy", envoy_dir=tmp_path)
    pages = Pages(options, cast(Worker, cast(Any, Idle())), cast(Admin, cast(Any, envoy)), clock)
    for later in (0.5, 7.0, 100.0):
        clock.at += later
        page = await pages.counters()
        assert abs(page["envoy_start"] - envoy.began) <= 1
        assert page["at"] == clock.at
