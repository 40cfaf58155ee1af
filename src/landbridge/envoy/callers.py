"""Whose connections a listener takes: decided by the caller's address, before one byte is read or sent.

The rule stands in the listener beside its filter chains and not in one. Envoy then changes the listener in place: it
touches no connection, ends none, and takes or closes new ones by the new rule. So a listener's chains stay immutable,
and nothing has to be subscribed to. An RBAC filter in a chain would judge a TCP connection by its first bytes: a pod
that speaks first would have greeted anybody.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from landbridge.envoy.names import Json, typed

_INPUTS = "envoy.extensions.matching.common_inputs.network.v3"
_RANGES = "envoy.extensions.matching.input_matchers.ip.v3.Ip"
_SPOKEN = ("http/1.0", "http/1.1", "h2c")
"""What the HTTP inspector says; it stands in quotes where a rule reads it."""


def chosen(callers: Sequence[str] | None, *, http: bool) -> Json:
    """The rule that chooses a listener's chain (`http` or `tcp`), for callers in these networks (CIDR) or, for None,
    for everybody; for all others there is no chain, and Envoy closes the connection.
    """
    if callers is None:
        return _by_protocol() if http else {"on_no_match": _chain("tcp")}
    if not callers:
        return {"on_no_match": _chain("nobody")}
    inner = {"matcher": _by_protocol()} if http else _chain("tcp")
    networks = typed(_RANGES, stat_prefix="callers", cidr_ranges=[_range(text) for text in callers])
    source = {"name": "source", "typed_config": typed(f"{_INPUTS}.SourceIPInput")}
    within = {"single_predicate": {"input": source, "custom_match": {"name": "networks", "typed_config": networks}}}
    return {"matcher_list": {"matchers": [{"predicate": within, "on_match": inner}]}}


def _by_protocol() -> Json:
    spoken = {"name": "protocol", "typed_config": typed(f"{_INPUTS}.ApplicationProtocolInput")}
    table = {"map": {f"'{name}'": _chain("http") for name in _SPOKEN}}
    return {"matcher_tree": {"input": spoken, "exact_match_map": table}, "on_no_match": _chain("tcp")}


def _chain(name: str) -> Json:
    return {"action": {"name": "chain", "typed_config": typed("google.protobuf.StringValue", value=name)}}


def _range(text: str) -> Json:
    network = ipaddress.ip_network(text)
    return {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}
