"""When a wave may begin: the hours in which people are there to look (`Mon-Thu 09:00-16:00 Europe/Berlin`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import time as hour
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FORM = "has to be like `09:00-16:00`, `Mon-Thu 09:00-16:00` or `Sat,Sun 22:00-04:00 Europe/Berlin`"
_TEXT = re.compile(r"(?:([A-Za-z,-]+) +)?(\d\d):(\d\d)-(\d\d):(\d\d)(?: +([A-Za-z0-9_+/-]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hours on some days of the week (0 is Monday); one that ends before it begins goes on into the next day."""

    days: frozenset[int]
    begin: hour
    end: hour
    zone: tzinfo = UTC

    def opens(self, now: float) -> float:
        """`now` while it is open, else the next moment at which it opens; seconds since the epoch."""
        today = datetime.fromtimestamp(now, self.zone).date()
        coming = []
        for day in (today + timedelta(days=n) for n in range(-1, 9)):
            if day.weekday() not in self.days:
                continue
            over = day if self.end > self.begin else day + timedelta(days=1)
            begin = datetime.combine(day, self.begin, self.zone).timestamp()
            if begin <= now < datetime.combine(over, self.end, self.zone).timestamp():
                return now
            if begin > now:
                coming.append(begin)
        return min(coming)


@cache
def parse(text: str) -> Window | None:
    """The window that a plan says; None for the empty text, which is always open. ValueError with the form else."""
    if not text.strip():
        return None
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} {FORM}")
    days, *clock, zone = found.groups()
    try:
        begin, end = _hour(*clock[:2]), _hour(*clock[2:])
    except ValueError:
        raise ValueError(f"{text!r} {FORM}") from None
    return Window(days=frozenset(_days(days, text)), begin=begin, end=end, zone=_zone(zone))


def read_window(text: str) -> str:
    """The text itself, if it is a window; ValueError otherwise."""
    parse(text)
    return text


def _hour(hours: str, minutes: str) -> hour:
    return hour(0, 0) if (hours, minutes) == ("24", "00") else hour(int(hours), int(minutes))


def _days(text: str | None, whole: str) -> Iterator[int]:
    if text is None:
        yield from range(7)
        return
    for part in text.split(","):
        ends = [DAYS.index(name) if name in DAYS else -1 for name in part.split("-")]
        if -1 in ends or len(ends) > 2:
            raise ValueError(f"{whole!r} {FORM}")
        first, last = ends[0], ends[-1]
        yield from ((first + n) % 7 for n in range((last - first) % 7 + 1))


def _zone(name: str | None) -> tzinfo:
    if name in {None, "UTC", "Z"}:
        return UTC
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"there is no time zone {name!r} on this machine; `Europe/Berlin` is one, UTC another"
        ) from None
