"""Names and addresses of labs never collide."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from landbridge.lab.place import MAX_CLUSTERS, MAX_INDEX, MAX_NODES, get_cluster, get_site

indexes = st.integers(0, MAX_INDEX)


def _addresses(index: int) -> list[str]:
    site = get_site(index)
    clusters = [get_cluster(site, f"c{n}", n, MAX_NODES) for n in range(1, MAX_CLUSTERS + 1)]
    nodes = [node.ip for cluster in clusters for node in cluster.nodes]
    balanced = [address for cluster in clusters for address in cluster.balanced]
    return [site.gateway, site.store_ip, *nodes, *balanced]


@given(indexes)
def test_every_address_of_a_lab_is_another(index: int) -> None:
    addresses = _addresses(index)
    assert len(set(addresses)) == len(addresses)
    assert all(ipaddress.ip_address(address).is_private for address in addresses)


@given(indexes, indexes)
def test_labs_share_no_address_and_no_name(one: int, other: int) -> None:
    if one == other:
        return
    assert not set(_addresses(one)) & set(_addresses(other))
    assert not f"{get_site(other).prefix}-legacy".startswith(f"{get_site(one).prefix}-")
    assert not get_site(other).bridge.startswith(f"{get_site(one).prefix}c")


@given(indexes, st.integers(1, MAX_CLUSTERS))
def test_names_fit_the_kernel(index: int, number: int) -> None:
    cluster = get_cluster(get_site(index), "a" * 40, number, MAX_NODES)
    assert all(len(node.veth) <= 15 for node in cluster.nodes)
    assert all(len(str(node.socket)) <= 107 for node in cluster.nodes)


def test_pods_of_nodes_do_not_overlap() -> None:
    cluster = get_cluster(get_site(0), "legacy", 1, MAX_NODES)
    ranges = [ipaddress.ip_network(node.pods) for node in cluster.nodes]
    assert len(set(ranges)) == MAX_NODES
    assert all(part.subnet_of(ipaddress.ip_network(cluster.pods)) for part in ranges)  # type: ignore[arg-type]
