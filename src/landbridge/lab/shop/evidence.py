"""What the shop's database proves: which side ran each time of the schedule, and which orders were executed twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from landbridge.lab.databases import Databases


async def read_runs(databases: Databases) -> dict[float, list[str]]:
    """The clusters that ran each time of the schedule (seconds since the epoch), oldest first."""
    rows = await _read(
        databases, "SELECT extract(epoch FROM scheduled)::float, cluster FROM reports ORDER BY scheduled, at"
    )
    runs: dict[float, list[str]] = {}
    for scheduled, cluster in rows:
        runs.setdefault(float(scheduled), []).append(str(cluster))
    return runs


def find_wrong_runs(
    runs: Mapping[float, Sequence[str]], since: float, until: float, *, period: float = 60
) -> dict[float, list[str]]:
    """The times from `since` to `until`, both included, that did not run exactly once, with who ran them (pure)."""
    first = -(-since // period) * period
    times = [first + number * period for number in range(int((until - first) // period) + 1)]
    return {at: list(runs.get(at, ())) for at in times if len(runs.get(at, ())) != 1}


async def read_repeated_orders(databases: Databases) -> dict[str, int]:
    """Keys of orders that were written more than once, with how often: requests that somebody repeated unasked."""
    rows = await _read(databases, "SELECT key, count(*)::int FROM orders GROUP BY key HAVING count(*) > 1")
    return {str(key): int(count) for key, count in rows}


async def _read(databases: Databases, statement: str) -> list[tuple[float | int | str, ...]]:
    host, _, port = databases.postgres.partition(":")
    connection = await psycopg.AsyncConnection.connect(
        host=host, port=port, user=databases.user, password=databases.password, dbname=databases.database
    )
    async with connection:
        return await (await connection.execute(statement.encode())).fetchall()
