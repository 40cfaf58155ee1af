"""Hours in which a wave may begin: the next opening is the first moment that is open, whatever the zone does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.laws.window import DAYS, Window, parse

HOURS = st.integers(0, 47).map(lambda half: f"{half // 2:02d}:{half % 2 * 30:02d}")
ZONES = st.sampled_from(["", " UTC", " Europe/Berlin", " America/St_Johns", " Australia/Lord_Howe"])
DAY_TEXTS = st.sampled_from(["", "Mon ", "Mon-Thu ", "Sat,Sun ", "Fri-Mon ", "Tue,Thu-Fri "])
TEXTS = st.builds(lambda d, a, b, z: f"{d}{a}-{b}{z}", DAY_TEXTS, HOURS, HOURS, ZONES)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def window(text: str) -> Window:
    made = parse(text)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("text", "now", "opens"),
    [
        ("09:00-16:00", "2026-11-21T10:00", "2026-11-21T10:00"),
        ("09:00-16:00", "2026-11-21T16:00", "2026-11-22T09:00"),
        ("Mon-Thu 09:00-16:00", "2026-11-21T10:00", "2026-11-23T09:00"),  # a Saturday
        ("Mon-Thu 09:00-16:00 Europe/Berlin", "2026-11-21T10:00", "2026-11-23T08:00"),
        ("Fri 22:00-04:00", "2026-11-21T03:59", "2026-11-21T03:59"),  # still Friday's
        ("Fri 22:00-04:00", "2026-11-21T04:00", "2026-11-27T22:00"),
        ("Sat 00:00-24:00", "2026-11-21T23:59", "2026-11-21T23:59"),
        ("Fri-Mon 09:00-10:00", "2026-11-24T00:00", "2026-11-27T09:00"),
    ],
)
def test_opens(text: str, now: str, opens: str) -> None:
    assert window(text).opens(at(now)) == at(opens)


def test_the_empty_text_is_always_open() -> None:
    assert parse("") is None


@pytest.mark.parametrize(
    "text", ["9-16", "Mo 09:00-16:00", "Mon-Tue-Wed 09:00-10:00", "25:00-26:00", "09:00-16:00 Nowhere/City", "monday"]
)
def test_what_is_none_says_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match=r"has to be like|there is no time zone"):
        parse(text)


@given(text=TEXTS, now=st.integers(0, 4_000_000_000))
def test_the_next_opening_is_open_and_none_comes_before_it(text: str, now: int) -> None:
    found = window(text)
    opens = found.opens(now)
    assert now <= opens <= now + 8.1 * 86400
    assert found.opens(opens) == opens
    if opens > now:
        between = (now + opens) / 2
        assert found.opens(between) == opens


@given(days=st.lists(st.sampled_from(DAYS), min_size=1, unique=True))
def test_a_list_of_days_is_those_days(days: list[str]) -> None:
    assert window(f"{','.join(days)} 09:00-10:00").days == {DAYS.index(day) for day in days}
