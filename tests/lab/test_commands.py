"""What a user does wrong is said before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from landbridge.errors import DocumentError, LandbridgeError
from landbridge.lab.commands import app
from landbridge.lab.host import packages


def _run(*words: str) -> None:
    app(words, result_action="return_value", exit_on_error=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("up", "--clusters", "a", "a"), "different names"),
        (("up", "--clusters", "a", "b", "c", "d", "e"), "1 to 4 clusters"),
        (("up", "--clusters", "Bad_Name"), "cannot be a cluster's name"),
        (("up", "--nodes", "30"), "1 to 9 nodes"),
        (("up", "--index", "1000"), "0 to 99"),
        (("load",), "nothing to send load to"),
        (("load", "http://a/", "http://a/b"), "two targets have one name"),
        (("load", "http://a/", "--seconds", "0"), "above 0"),
        (("load", "http://a/", "--netns", "no-such-namespace"), "no network namespace"),
        (("load", "--targets", "no-such-file.json"), "cannot be used"),
    ],
)
def test_wrong_arguments(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        _run(*words)


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LandbridgeError, match="root") as caught:
        _run("up")
    assert caught.value.advice


def test_missing_packages_are_found_by_their_programs(tmp_path: Path) -> None:
    assert packages.find_missing({"sh": "dash", "no-such-program": "it", f"{tmp_path}/x": "that"}) == ["it", "that"]


async def test_a_machine_without_apt_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LandbridgeError, match="it-package"):
        await packages.provide({"no-such-program": "it-package"}, say=lambda _: None)
