"""What lies there before the agent runs is enough for Envoy to start and not enough to be ready."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from landbridge.agent.options import Options, Role
from landbridge.agent.seed import seed
from landbridge.envoy.discovery import split
from landbridge.envoy.names import LISTENERS_FILE


def options(folder: Path, role: Role) -> Options:
    return Options(role=role, namespace="shop", cluster="legacy", envoy_dir=folder / "envoy", tls_dir=folder / "tls")


@pytest.mark.parametrize("role", list(Role))
def test_every_file_that_the_bootstrap_names_is_there_and_no_listener_is_in_them(tmp_path: Path, role: Role) -> None:
    """waypoint.md 7: with a missing LDS file Envoy refuses to start; with an empty one it is live and not ready."""
    seed(options(tmp_path, role))
    boot = json.loads((tmp_path / "envoy" / "bootstrap.json").read_text())
    for config in boot["dynamic_resources"].values():
        assert Path(config["path_config_source"]["path"]).exists()
    assert split((tmp_path / "envoy" / LISTENERS_FILE).read_bytes()) == {}


def test_a_pod_that_starts_again_goes_on_with_what_it_had(tmp_path: Path) -> None:
    where = options(tmp_path, Role.WAYPOINT)
    seed(where)
    (where.envoy_dir / LISTENERS_FILE).write_text("carries traffic")
    assert seed(where) == ["bootstrap.json"]
    assert (where.envoy_dir / LISTENERS_FILE).read_text() == "carries traffic"
