from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agent.bed import local_addresses


@pytest.fixture(scope="session")
def prefix() -> Iterator[str]:
    with local_addresses() as found:
        yield found
