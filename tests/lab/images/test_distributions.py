"""What an image gets is what landbridge runs with here."""

from __future__ import annotations

import pytest

from landbridge.errors import LandbridgeError
from landbridge.lab.images.distributions import find_envoy, get_closure, get_landbridge, get_layer, get_needed
from landbridge.lab.images.python import SITE


def test_the_closure_holds_needs_of_needs_and_no_development_tools() -> None:
    names = {str(d.metadata["Name"]).lower() for d in get_closure(("landbridge",))}
    assert {"landbridge", "aiohttp", "yarl", "pydantic-core"} <= {name.replace("_", "-") for name in names}
    assert not names & {"pytest", "mypy", "ruff", "numpy"}


def test_a_missing_package_is_named() -> None:
    with pytest.raises(LandbridgeError, match="no-such-package"):
        get_closure(("no-such-package",))


def test_requirements_of_an_extra_count_only_with_it() -> None:
    requirements = ["psycopg[binary]>=3", 'x ; extra == "speed"', "y[a,b]; python_version >= '3.11'"]
    assert list(get_needed(requirements, frozenset())) == [
        ("psycopg", frozenset({"binary"})),
        ("y", frozenset({"a", "b"})),
    ]
    assert ("x", frozenset()) in list(get_needed(requirements, frozenset({"speed"})))


def test_landbridge_itself_comes_with_its_program() -> None:
    targets = {item.target for item in get_landbridge()}
    assert {f"{SITE}/landbridge/errors.py", "opt/python/bin/landbridge"} <= targets
    assert not any("/lab/go/" in target for target in targets)


def test_files_are_there_and_stay_below_the_site() -> None:
    for item in get_layer(("redis",)):
        assert item.target.startswith(f"{SITE}/")
        assert item.source
        assert item.source.exists()


def test_envoy_is_a_binary() -> None:
    with find_envoy().open("rb") as file:
        assert file.read(4) == b"\x7fELF"
