"""What is worked out of watched objects is worked out again when one of them has changed, and not before."""

from __future__ import annotations

from typing import Any, cast

from landbridge.agent.derived import Derived
from landbridge.agent.watching import Watch


class Counted:
    """As much of a watch as is asked."""

    def __init__(self) -> None:
        self.changes = 0


def test_it_is_made_once_for_each_change_of_any_watch() -> None:
    watches = [Counted(), Counted()]
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return len(made)

    value = Derived(make, *cast(list[Watch], cast(Any, watches)))
    assert (value(), value()) == (1, 1)
    for number, watch in enumerate(watches, 2):
        watch.changes += 1
        assert (value(), value()) == (number, number)
    assert len(made) == 3
