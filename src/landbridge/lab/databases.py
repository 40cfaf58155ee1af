"""PostgreSQL and Redis on the node network, shared by all clusters of a lab as a cloud's own databases would be."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from landbridge.clock import Clock
from landbridge.errors import LandbridgeError
from landbridge.lab.host import network, processes
from landbridge.lab.host.command import run
from landbridge.lab.host.processes import Daemon
from landbridge.lab.place import Site

USER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package makes this user."""

_AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """Where a lab's databases are and how the shop logs in."""

    postgres: str
    redis: str
    user: str
    password: str
    database: str


def read(site: Site) -> Databases | None:
    """The databases of a lab, or None where it has none."""
    try:
        return Databases(**json.loads((site.folder / "databases.json").read_text()))
    except OSError:
        return None


async def start_databases(site: Site, *, clock: Clock) -> Databases:
    """Start both in a namespace of their own and return how to reach them."""
    await network.make_namespace(site, site.store_netns, f"{site.prefix}s", site.store_ip)
    databases = Databases(
        postgres=f"{site.store_ip}:5432",
        redis=f"{site.store_ip}:6379",
        user="shop",
        password=secrets.token_hex(12),
        database="shop",
    )
    await asyncio.gather(_start_redis(site, clock), _start_postgres(site, databases, clock))
    path = site.folder / "databases.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(databases)))
    return databases


def _get_daemon(site: Site, name: str, *argv: str) -> Daemon:
    return Daemon(name=name, argv=argv, folder=site.folder / "databases", mark=site.folder, netns=site.store_netns)


async def _start_redis(site: Site, clock: Clock) -> None:
    keep_nothing = ("--save", "", "--appendonly", "no", "--protected-mode", "no", "--dir", str(site.run))
    daemon = _get_daemon(site, "redis", "redis-server", "--bind", site.store_ip, "--port", "6379", *keep_nothing)
    processes.start(daemon)

    async def answers() -> bool:
        try:
            reader, writer = await asyncio.open_connection(site.store_ip, 6379)
        except OSError:
            return False
        writer.write(b"PING\r\n")
        answer = await reader.readline()
        writer.close()
        return answer == b"+PONG\r\n"

    await processes.wait_ready(daemon, answers, within=20, clock=clock)


async def _start_postgres(site: Site, databases: Databases, clock: Clock) -> None:
    """A fresh cluster of databases below /run, which that user may enter; nothing is synced to disk."""
    programs = _find_programs()
    home = site.run / "postgres"
    home.mkdir(mode=0o700)
    secret = home / "password"
    secret.touch(mode=0o600)
    secret.write_text(databases.password)
    for path in (home, secret):
        shutil.chown(path, USER, USER)
    auth = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}")
    await run(*_AS_USER, str(programs / "initdb"), "-D", f"{home}/data", "-U", databases.user, "-N", *auth)
    secret.unlink()
    with (home / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 0.0.0.0/0 scram-sha-256\n")
    settings = {"listen_addresses": site.store_ip, "fsync": "off", "max_connections": "200", "shared_buffers": "32MB"}
    flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = (str(programs / "postgres"), "-D", f"{home}/data", "-k", str(home), *flags)
    daemon = _get_daemon(site, "postgres", *_AS_USER, *server)
    processes.start(daemon)

    async def answers() -> bool:
        asked = run(str(programs / "pg_isready"), "-q", "-h", str(home), "-U", databases.user)
        try:
            await asked
        except LandbridgeError:
            return False
        return True

    await processes.wait_ready(daemon, answers, within=30, clock=clock)
    await run(str(programs / "createdb"), "-h", str(home), "-U", databases.user, databases.database)


def _find_programs() -> Path:
    """The folder of the newest PostgreSQL here: Debian's own, or that of PATH."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(os.path.realpath(on_path)).parent)
    for folder in sorted(folders, reverse=True):
        if (folder / "initdb").exists():
            return folder
    raise LandbridgeError("PostgreSQL is missing", advice="install it, on Debian: apt-get install postgresql")
