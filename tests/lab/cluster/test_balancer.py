"""LoadBalancer Services get one address each and keep it."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from landbridge.lab.cluster.balancer import choose, get_key, wants_address

POOL = tuple(f"10.90.0.{n}" for n in range(50, 58))


def _service(
    name: str, *, kind: str = "LoadBalancer", has: str = "", asks: str = "", leaving: bool = False
) -> dict[str, Any]:
    metadata = {"namespace": "n", "name": name} | ({"deletionTimestamp": "now"} if leaving else {})
    ingress = {"ingress": [{"ip": has}]} if has else {}
    return {"metadata": metadata, "spec": {"type": kind, "loadBalancerIP": asks}, "status": {"loadBalancer": ingress}}


services = st.lists(
    st.builds(
        _service,
        st.text("abc", min_size=1, max_size=3),
        kind=st.sampled_from(["LoadBalancer", "ClusterIP"]),
        has=st.sampled_from(["", *POOL, "192.0.2.1"]),
        asks=st.sampled_from(["", *POOL]),
        leaving=st.booleans(),
    ),
    max_size=12,
    unique_by=get_key,
)


@given(services)
def test_no_address_twice_and_none_without_need(listed: list[dict[str, Any]]) -> None:
    chosen = choose(listed, POOL)
    wanting = {get_key(service) for service in listed if wants_address(service)}
    assert len(set(chosen.values())) == len(chosen) == min(len(wanting), len(POOL))
    assert set(chosen) <= wanting
    assert set(chosen.values()) <= set(POOL)


@given(services)
@example([*(_service(name) for name in "abcdefg"), _service("ac", has=POOL[0]), _service("aa", has=POOL[0])])
def test_what_is_given_stays_given(listed: list[dict[str, Any]]) -> None:
    chosen = choose(listed, POOL)
    for service in filter(wants_address, listed):
        address = chosen.get(get_key(service))
        service["status"] = {"loadBalancer": {"ingress": [{"ip": address}] if address else None}}
    assert choose(list(reversed(listed)), POOL) == chosen
