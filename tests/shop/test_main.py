"""`python -m landbridge.lab.shop` finds the lab that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from landbridge.errors import LandbridgeError
from landbridge.lab import state as states
from landbridge.lab.shop.__main__ import _get_lab
from landbridge.lab.state import LabState, Phase


@pytest.fixture
def two_labs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[LabState]:
    monkeypatch.setenv("LANDBRIDGE_LAB_CACHE", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    made = [
        LabState(index=index, clusters=("legacy", "eks"), nodes=1, phase=Phase.UP, since=0.0, owner=0)
        for index in (3, 8)
    ]
    monkeypatch.setattr(states, "find_all", lambda: made)
    return made


def test_the_lab_of_the_kubeconfig_is_meant(two_labs: list[LabState], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"/nowhere:{two_labs[1].site.kubeconfig}")
    assert _get_lab(None).state.index == 8
    assert _get_lab(3).state.index == 3


def test_without_one_it_has_to_be_clear(two_labs: list[LabState], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LandbridgeError, match="several labs run: 3, 8"):
        _get_lab(None)
    monkeypatch.setattr(states, "find_all", lambda: two_labs[:1])
    assert _get_lab(None).state.index == 3
