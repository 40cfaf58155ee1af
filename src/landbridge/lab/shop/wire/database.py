"""The shop's PostgreSQL: a few connections, made when needed and thrown away when broken; and the tables.

Copies in both clusters use the same database, as they would one RDS instance while everything runs twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import psycopg

from landbridge.lab.shop.wire.trail import CallError

Link = psycopg.AsyncConnection[tuple[Any, ...]]
SIZE = 3
log = logging.getLogger(__name__)
CONNECT_SECONDS = 5

# orders.key and reports (scheduled, cluster) are not unique on purpose: a request or a schedule time that ran twice
# must be seen, not refused. A Job whose pod is retried is still one run, so its uid is unique.
TABLES = """
CREATE TABLE IF NOT EXISTS orders (
    id bigserial PRIMARY KEY, key text NOT NULL, person int NOT NULL, item int NOT NULL,
    cluster text NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX IF NOT EXISTS orders_key ON orders (key);
CREATE INDEX IF NOT EXISTS orders_person ON orders (person);
CREATE TABLE IF NOT EXISTS reports (
    scheduled timestamptz NOT NULL, cluster text NOT NULL, job text NOT NULL UNIQUE,
    orders bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
"""
PREPARE_LOCK = 0x5B0B


class Database:
    """Runs statements on one of at most `SIZE` connections."""

    def __init__(self, *, host: str, port: int, user: str, password: str, name: str) -> None:
        self._arguments: dict[str, Any] = {
            "host": host,
            "port": port,
            "user": user,
            "password": password,
            "dbname": name,
            "connect_timeout": CONNECT_SECONDS,
        }
        self._free: list[Link] = []
        self._slots = asyncio.Semaphore(SIZE)

    async def prepare(self) -> bool:
        """Make the tables; False when the database cannot be reached.

        Copies that start together wait for each other, or they would race in the catalog.
        """
        try:
            async with await self._connect() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (PREPARE_LOCK,))
                for statement in filter(str.strip, TABLES.split(";")):
                    await connection.execute(statement.encode())
        except psycopg.OperationalError as error:
            log.warning("no database yet: %s", " ".join(str(error).split()))
            return False
        return True

    async def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement in its own transaction and return its rows. Raises CallError."""
        async with self._slots:
            try:
                connection = self._free.pop() if self._free else await self._connect()
                return await self._run_on(connection, statement, values)
            except psycopg.Error as error:
                raise CallError(
                    "postgres", f"{type(error).__name__}: {' '.join(str(error).split())}", status=503
                ) from error

    async def _run_on(self, connection: Link, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        done = False
        try:
            cursor = await connection.execute(statement.encode(), values)
            rows = await cursor.fetchall() if cursor.description else []
            done = True
        finally:
            if done:
                self._free.append(connection)
            else:
                await connection.close()
        return rows

    async def close(self) -> None:
        """Give up all free connections."""
        while self._free:
            await self._free.pop().close()

    async def _connect(self) -> Link:
        return await psycopg.AsyncConnection.connect(**self._arguments, autocommit=True)
