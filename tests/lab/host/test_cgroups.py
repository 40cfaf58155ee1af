"""Both versions of cgroups, on folders that look like them."""

from __future__ import annotations

from pathlib import Path

import pytest

from landbridge.errors import LandbridgeError
from landbridge.lab.host import cgroups


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    for name in ("cpu", "cpuset", "memory", "unified"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset" / "cpuset.mems").write_text("0\n")
    return tmp_path


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory pids hugetlb\n")
    return tmp_path


def test_version_1_fills_the_cpuset(v1: Path) -> None:
    cgroups.make("lblab0-legacy", v1)
    assert (v1 / "cpuset" / "lblab0-legacy" / "cpuset.cpus").read_text() == "0-1\n"
    assert (v1 / "memory" / "lblab0-legacy").is_dir()
    assert not (v1 / "unified" / "lblab0-legacy").exists()


def test_version_2_hands_controllers_down(v2: Path) -> None:
    cgroups.make("lblab0-legacy", v2)
    handed = (v2 / "cgroup.subtree_control").read_text()
    assert handed == (v2 / "lblab0-legacy" / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids"


def test_version_2_that_refuses_is_explained(v2: Path) -> None:
    (v2 / "cgroup.subtree_control").mkdir()
    with pytest.raises(LandbridgeError, match="does not hand its controllers down"):
        cgroups.make("lblab0-legacy", v2)


def test_another_labs_cgroups_are_left_alone(v1: Path) -> None:
    for name in ("lblab1-eks", "lblab10-eks"):
        cgroups.make(name, v1)
        (v1 / "memory" / name / "pod" / "container").mkdir(parents=True)
        (v1 / "memory" / name / "pod" / "container" / "cgroup.procs").write_text("12\n34\n")
    for path in (v1 / "cpuset").rglob("cpuset.*"):
        path.unlink()
    assert cgroups.find_pids("lblab1", v1) == {12, 34}
    for procs in (v1 / "memory" / "lblab1-eks").rglob("cgroup.procs"):
        procs.unlink()
    cgroups.remove("lblab1", v1)
    assert not cgroups.find("lblab1", v1)
    assert cgroups.find_pids("lblab10", v1) == {12, 34}


def test_only_own_containers_are_removed(v1: Path) -> None:
    for one in ("mine", "others"):
        for hierarchy in ("cpu", "memory"):
            (v1 / hierarchy / "k8s.io" / one).mkdir(parents=True)
    cgroups.remove_containers(["mine", "never-was"], v1)
    assert [path.name for path in (v1 / "cpu" / "k8s.io").iterdir()] == ["others"]
    cgroups.remove_containers(["others"], v1)
    assert not (v1 / "memory" / "k8s.io").exists()


def test_a_session_is_favoured_where_the_kernel_can(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "autogroup").write_text("/autogroup-3 nice 0")
    cgroups.favour_session(7, tmp_path)
    assert (tmp_path / "7" / "autogroup").read_text() == "-10"
    cgroups.favour_session(8, tmp_path)  # a kernel without, or a process that has just ended: nothing happens
    assert not (tmp_path / "8").exists()
