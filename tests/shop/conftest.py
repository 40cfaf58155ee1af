"""Real PostgreSQL and Redis for the shop's programs, started once a session."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from landbridge.clock import SystemClock, wait_for
from tests.shop.programs import Copy, Starter, Stores, free_port, start_shop


def _find(program: str) -> str:
    found = shutil.which(program) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))), None
    )
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and password of a PostgreSQL with the shop's user and database; never run as root."""
    password, port = secrets.token_hex(8), free_port()
    root = tmp_path_factory.mktemp("postgres")
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(root, "postgres")
        for parent in [root, *root.parents][:-1]:
            if not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    (root / "password").write_text(password)
    shutil.chown(root / "password", "postgres") if as_user else None
    data = str(root / "data")
    initdb = [
        _find("initdb"),
        "-D",
        data,
        "-U",
        "shop",
        "--pwfile",
        str(root / "password"),
        "-A",
        "scram-sha-256",
        "-N",
    ]
    subprocess.run([*as_user, *initdb], check=True, capture_output=True, cwd=root)
    settings = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-k", str(root), "-p", str(port)]
    with (root / "log").open("wb") as log:
        server = subprocess.Popen(
            [*as_user, _find("postgres"), "-D", data, *settings], stdout=log, stderr=log, cwd=root
        )
    try:
        asyncio.run(_wait_postgres(port, password))
        yield f"127.0.0.1:{port}", password
    finally:
        server.send_signal(2)
        server.wait(20)


async def _wait_postgres(port: int, password: str) -> None:
    async def ready() -> bool:
        try:
            with psycopg.connect(
                host="127.0.0.1", port=port, user="shop", password=password, dbname="postgres", autocommit=True
            ) as connection:
                connection.execute("CREATE DATABASE shop")
        except psycopg.OperationalError:
            return False
        return True

    await wait_for(ready, what="PostgreSQL", within=30, clock=SystemClock())


@pytest.fixture(scope="session")
def stores(postgres: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    port = free_port()
    arguments = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(tmp_path_factory.mktemp("redis")),
    ]
    server = subprocess.Popen([_find("redis-server"), *arguments], stdout=subprocess.DEVNULL)
    try:
        asyncio.run(_wait_redis(port))
        yield Stores(postgres=postgres[0], redis=f"127.0.0.1:{port}", password=postgres[1])
    finally:
        server.terminate()
        server.wait(20)


async def _wait_redis(port: int) -> None:
    async def ready() -> bool:
        try:
            with redis.Redis(port=port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    await wait_for(ready, what="Redis", within=20, clock=SystemClock())


@pytest.fixture(autouse=True)
def mended(request: pytest.FixtureRequest) -> None:
    """No test finds the faults of another."""
    if "stores" in request.fixturenames:
        with redis.Redis(port=request.getfixturevalue("stores").redis_port) as client:
            for key in client.scan_iter("fault:*"):
                client.delete(key)


@pytest.fixture
def starter(stores: Stores, tmp_path: Path) -> Iterator[Starter]:
    """Starts copies for one test."""
    starter = Starter(stores, tmp_path)
    yield starter
    starter.end()


@pytest.fixture(scope="session")
def shop(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Copy]]:
    """The whole shop, its copies spread over two clusters, for tests that end none of them."""
    starter = Starter(stores, tmp_path_factory.mktemp("shop"))
    yield asyncio.run(start_shop(starter))
    starter.end()
