"""Work for many objects at the same time, since an API server answers one writer a hundred times a second at best."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

AT_ONCE = 24
T = TypeVar("T")


async def several(work: Iterable[Awaitable[T]], at_once: int = AT_ONCE) -> list[T]:
    """All answers in their order; an error is raised when everything has ended, so that nothing goes on behind it."""
    slots = asyncio.Semaphore(at_once)

    async def one(item: Awaitable[T]) -> T:
        async with slots:
            return await item

    answers = await asyncio.gather(*map(one, work), return_exceptions=True)
    if errors := [answer for answer in answers if isinstance(answer, BaseException)]:
        raise errors[0]
    return [answer for answer in answers if not isinstance(answer, BaseException)]
