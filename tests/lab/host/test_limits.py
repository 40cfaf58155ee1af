"""The limit is raised once, and what it was before comes back."""

from __future__ import annotations

from pathlib import Path

from landbridge.lab.host.limits import ENOUGH, raise_inotify, restore_inotify


def _files(tmp_path: Path, now: int) -> tuple[Path, Path]:
    limit = tmp_path / "limit"
    limit.write_text(f"{now}\n")
    return limit, tmp_path / "kept" / "inotify"


def test_two_labs_and_back(tmp_path: Path) -> None:
    limit, kept = _files(tmp_path, 128)
    said: list[str] = []
    for _ in range(2):
        raise_inotify(kept, say=said.append, limit=limit)
    assert int(limit.read_text()) == ENOUGH
    assert len(said) == 1
    restore_inotify(kept, limit=limit)
    assert int(limit.read_text()) == 128
    assert not kept.exists()


def test_a_high_limit_is_left_alone(tmp_path: Path) -> None:
    limit, kept = _files(tmp_path, 100_000)
    raise_inotify(kept, say=print, limit=limit)
    restore_inotify(kept, limit=limit)
    assert int(limit.read_text()) == 100_000


def test_what_somebody_set_meanwhile_stays(tmp_path: Path) -> None:
    limit, kept = _files(tmp_path, 128)
    raise_inotify(kept, say=print, limit=limit)
    limit.write_text("65536")
    restore_inotify(kept, limit=limit)
    assert int(limit.read_text()) == 65536
