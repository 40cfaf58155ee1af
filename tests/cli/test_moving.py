"""`run --roles`: roles for both clusters as YAML, for whoever is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from landbridge.errors import Exit
from landbridge.lab import ApiServer
from tests.cli.conftest import Command


def test_a_subject_that_is_none_is_said(place: Path, command: Command) -> None:
    ended = command("run", "--roles", "ada")
    assert ended.code == Exit.INVALID
    assert "'ada' names nobody" in ended.err
    assert "serviceaccount:NAMESPACE/NAME" in ended.err


@pytest.mark.api
class TestOverApiServers:
    @pytest.fixture
    def kubeconfig(self, api_pair: tuple[ApiServer, ApiServer], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBECONFIG", ":".join(str(server.kubeconfig) for server in api_pair))
        monkeypatch.delenv("LANDBRIDGE_DIR", raising=False)

    def test_roles_of_both_clusters_are_printed(self, place: Path, command: Command) -> None:
        ended = command("run", "--roles", "serviceaccount:ci/runner")
        assert ended.code == Exit.DONE, ended.err
        found = list(yaml.safe_load_all(ended.out))
        places = {
            (item["metadata"]["labels"]["landbridge.dev/cluster"], item["kind"], item["metadata"].get("namespace", ""))
            for item in found
        }
        kinds = ("Role", "RoleBinding")
        assert places == {(c, kind, n) for c in ("legacy", "eks") for kind in kinds for n in ("landbridge", "shop")}
        whom = {"kind": "ServiceAccount", "name": "runner", "namespace": "ci"}
        assert all(item["subjects"] == [whom] for item in found if "subjects" in item)
        assert command("run", "--roles", "user:ada", "-o", "json").json[0]["metadata"]["name"] == "landbridge-run"
