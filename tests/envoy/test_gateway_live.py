"""Who may come in at the door, and that nobody notices when the door is rebuilt."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from landbridge.clock import wait_for
from landbridge.connect.identity import Authority, issue, make_authority, tls_files
from landbridge.envoy.state import Export, with_hops
from landbridge.model.service import Protocol
from tests.envoy.conftest import World
from tests.envoy.envoys import CLOCK
from tests.envoy.pair import GATEWAY_ID, WAYPOINT_ID, Caller, certificates, once
from tests.envoy.test_waypoint_live import remote_health

HEALTH = "health.p80.web.shop.eks"


def context(folder: Path, signer: Authority | None, who: str, trusted: Authority, *, now: float) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(cadata=trusted.certificate.decode())
    if signer is not None:
        folder.mkdir(exist_ok=True)
        for name, content in tls_files(issue(signer, who, now=now), [trusted.certificate]).items():
            (folder / name).write_bytes(content)
        made.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return made


async def knock(world: World, tls: ssl.SSLContext, name: str = f"tcp.{HEALTH.removeprefix('health.')}") -> bytes:
    """What the gateway lets through of a plain HTTP request by TCP."""
    try:
        reader, writer = await asyncio.open_connection(world.pair.at.gateway, 15443, ssl=tls, server_hostname=name)
        writer.write(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        line = await reader.readline()
        writer.close()
    except (ssl.SSLError, ConnectionError) as error:
        return type(error).__name__.encode()
    return line


async def test_only_the_right_certificate_comes_in(world: World, tmp_path: Path) -> None:
    legacy, eks = world.pair.authorities["legacy"], world.pair.authorities["eks"]
    now = CLOCK.now()
    good = context(tmp_path / "a", legacy, WAYPOINT_ID, eks, now=now)
    assert b"200" in await knock(world, good)
    stranger = make_authority("legacy", now=now)
    refused = {
        "no certificate": context(tmp_path / "b", None, "", eks, now=now),
        "another authority": context(tmp_path / "c", stranger, WAYPOINT_ID, eks, now=now),
        "another identity": context(tmp_path / "d", legacy, f"{WAYPOINT_ID}x", eks, now=now),
        "expired": context(tmp_path / "e", legacy, WAYPOINT_ID, eks, now=now - 10 * 86400),
    }
    for what, tls in refused.items():
        assert b"200" not in await knock(world, tls), what
    assert b"200" not in await knock(world, good, "tcp.p80.other.shop.eks")
    old = context(tmp_path / "f", legacy, WAYPOINT_ID, eks, now=now)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert b"200" not in await knock(world, old)
    assert world.remote.requests == 1


async def test_a_gateway_with_another_identity_is_not_believed(world: World) -> None:
    await world.pair.split(100)
    await remote_health(world, 1)
    legacy, eks = world.pair.authorities["legacy"], world.pair.authorities["eks"]
    certificates(world.pair.tls / "there", eks, f"{GATEWAY_ID}x", [legacy])
    world.pair.gateway.process.kill()  # connections that are open keep what they were shown
    await remote_health(world, 0)
    assert await Caller(world.web).call(4) == {"503": 4}


async def test_rotation_trust_both_new_leaves_drop_old_loses_nothing(world: World) -> None:
    await world.pair.split(100)
    caller = Caller(world.web)
    load = asyncio.create_task(caller.until_stopped())
    old = world.pair.authorities
    new = {name: make_authority(name, now=CLOCK.now()) for name in ("legacy", "eks")}
    rounds = (
        (old, [old["eks"], new["eks"]], [old["legacy"], new["legacy"]]),
        (new, [old["eks"], new["eks"]], [old["legacy"], new["legacy"]]),
        (new, [new["eks"]], [new["legacy"]]),
    )
    for number, (signers, here, there) in enumerate(rounds, 2):
        certificates(world.pair.tls / "here", signers["legacy"], WAYPOINT_ID, here)
        certificates(world.pair.tls / "there", signers["eks"], GATEWAY_ID, there)
        await reloaded(world, number)
    caller.stopped = True
    await load
    assert set(caller.outcomes) == {"remote"}
    reached = context(world.pair.tls / "x", new["legacy"], WAYPOINT_ID, new["eks"], now=CLOCK.now())
    assert b"200" in await knock(world, reached)
    left = context(world.pair.tls / "y", old["legacy"], WAYPOINT_ID, new["eks"], now=CLOCK.now())
    assert b"200" not in await knock(world, left)


async def reloaded(world: World, times: int) -> None:
    """Both Envoys have built their TLS contexts from the certificates that lie there now."""

    async def check() -> bool:
        for envoy, folder in ((world.pair.waypoint, "here"), (world.pair.gateway, "there")):
            shown = await envoy.get("/certs")
            if serial(world.pair.tls / folder) not in shown:
                return False
        return True

    await wait_for(check, what=f"certificates of round {times}", within=10, clock=CLOCK)
    assert times > 1


def serial(folder: Path) -> bytes:
    return f"{x509.load_pem_x509_certificate((folder / 'tls.crt').read_bytes()).serial_number:x}".encode()


async def test_rule_13_12_a_new_chain_disturbs_nobody(world: World) -> None:
    await world.pair.split(100)
    reader, writer = await asyncio.open_connection(*world.tcp)
    assert await reader.readline() == b"hello from remote\n"
    caller = Caller(world.web)
    load = asyncio.create_task(caller.until_stopped())
    for number in range(1, 11):
        more = tuple(
            Export(namespace="shop", service=f"s{n}", port=80, protocol=Protocol.HTTP, endpoints=())
            for n in range(number)
        )
        exports = replace(world.pair.exports, exports=(*world.pair.exports.exports, *more))
        await world.pair.gateway.apply(exports)
    await world.pair.gateway.apply(world.pair.exports)
    caller.stopped = True
    await load
    assert set(caller.outcomes) == {"remote"}
    writer.write(b"still\n")
    assert await reader.readline() == b"remote: still\n"
    writer.close()


async def test_rule_13_4_draining_gateway_is_left_before_it_ends(world: World) -> None:
    await world.pair.split(50)
    await remote_health(world, 1)
    caller = Caller(world.web)
    load = asyncio.create_task(caller.until_stopped())
    await world.pair.gateway.get("/healthcheck/fail", "POST")
    await remote_health(world, 0)
    await world.pair.gateway.get("/drain_listeners?graceful&skip_exit", "POST")
    world.pair.gateway.process.terminate()
    await world.pair.gateway.process.wait()
    caller.stopped = True
    await load
    assert set(caller.outcomes) == {"local", "remote"}


async def test_ready_listener_follows_healthcheck_fail(world: World) -> None:
    async def status(path: str) -> bytes:
        reader, writer = await asyncio.open_connection(world.pair.at.waypoint, 15021)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        return line

    assert b" 200 " in await status("/ready")
    assert b" 404 " in await status("/other")
    await world.pair.waypoint.get("/healthcheck/fail", "POST")
    assert b" 503 " in await status("/ready")


@pytest.mark.parametrize("allowed", [(), ("spiffe://legacy/ns/other/sa/landbridge-waypoint",)])
async def test_nobody_comes_in_who_is_not_listed(world: World, tmp_path: Path, allowed: tuple[str, ...]) -> None:
    await world.pair.gateway.apply(replace(world.pair.exports, allowed=allowed))
    legacy, eks = world.pair.authorities["legacy"], world.pair.authorities["eks"]
    tls = context(tmp_path / "a", legacy, WAYPOINT_ID, eks, now=CLOCK.now())

    async def closed() -> bool:
        return b"200" not in await knock(world, tls)

    await wait_for(closed, what="the door is closed", within=5, clock=CLOCK)


async def test_a_gateway_that_is_asked_to_appends_its_cluster_to_a_header(world: World) -> None:
    """Appended and not replaced: a request that crosses twice has two names."""
    await world.pair.gateway.apply(with_hops(world.pair.exports, "x-hops"))
    await world.pair.split(100)

    async def crossed(*headers: str) -> list[str]:
        _, body = await once(world.web, headers=headers)
        lines = json.loads(body)["headers"]
        return [line.partition(":")[2].strip() for line in lines if line.lower().startswith("x-hops:")]

    assert await crossed() == ["eks"]
    assert await crossed("X-Hops: legacy") == ["legacy", "eks"]
