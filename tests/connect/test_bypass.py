"""Reading a pod's connection table and telling callers from waypoints, gateways and probes."""

from __future__ import annotations

import json
import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from landbridge.connect.bypass import Connection, read, strangers

WAYPOINT, CALLER, NODE = "10.91.0.7", "10.91.0.20", "10.91.0.1"


def kernel(address: str, port: int) -> str:
    """As the kernel prints it, for IPv4 and IPv6."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    words = struct.unpack(f">{len(packed) // 4}I", packed)
    return "".join(f"{socket.ntohl(word):08X}" for word in words) + f":{port:04X}"


def line(*pairs: tuple[str, int, str, int]) -> str:
    return json.dumps([[kernel(local, port), kernel(peer, peer_port)] for local, port, peer, peer_port in pairs])


@given(peer=st.ip_addresses(), port=st.integers(1, 65535), peer_port=st.integers(1, 65535))
def test_what_the_kernel_prints_is_read_back(peer: object, port: int, peer_port: int) -> None:
    text = str(peer)
    local = "::1" if ":" in text else "127.0.0.1"
    [found] = read(line((local, port, text, peer_port)))
    mapped = getattr(peer, "ipv4_mapped", None)
    assert found == Connection(port, str(mapped or peer), peer_port)


def test_an_ipv4_peer_of_an_ipv6_socket_is_an_ipv4_peer() -> None:
    [found] = read(line(("::ffff:10.91.0.30", 8080, f"::ffff:{CALLER}", 40000)))
    assert found == Connection(8080, CALLER, 40000)


def count(*readings: list[Connection]) -> int:
    return len(strangers(readings, ports={8080}, expected={WAYPOINT}, nodes={NODE}))


def test_a_caller_that_kept_its_connection_is_counted_once() -> None:
    held = Connection(8080, CALLER, 40000)
    assert count([held], [held]) == 1
    assert count([held], []) == 1, "one that ended meanwhile was there"


def test_waypoints_other_ports_and_the_pod_itself_are_not() -> None:
    fine = [Connection(8080, WAYPOINT, 1), Connection(5432, CALLER, 2), Connection(8080, "127.0.0.1", 3)]
    assert count(fine, fine) == 0


def test_a_probe_is_over_at_once_and_a_caller_behind_the_node_is_not() -> None:
    probe, other = Connection(8080, NODE, 50001), Connection(8080, NODE, 50002)
    assert count([probe], [other]) == 0
    assert count([probe, other], [other]) == 1
    assert count([probe]) == 0, "one reading says nothing about a node's connections"


def test_no_readings_no_strangers() -> None:
    assert count() == 0
