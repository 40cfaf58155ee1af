"""Arithmetic of address networks: what lies in one, in both, or is left of one (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

Network = IPv4Network | IPv6Network
Networks = frozenset[Network]


def texts(found: Networks | None) -> tuple[str, ...] | None:
    """Networks as CIDRs, in a stable order."""
    if found is None:
        return None
    ordered = sorted(found, key=lambda one: (one.version, one.network_address, one.prefixlen))
    return tuple(str(one) for one in ordered)


def hosts(addresses: Iterable[str]) -> Networks:
    """Single addresses as networks; what is none is left out."""
    return frozenset(one for address in addresses for one in one_network(address))


def without(whole: Network, taken: Network) -> Iterable[Network]:
    """A network without another that lies in it, holds it, or is elsewhere."""
    if isinstance(whole, IPv4Network) and isinstance(taken, IPv4Network):
        return () if whole.subnet_of(taken) else whole.address_exclude(taken) if taken.subnet_of(whole) else (whole,)
    if isinstance(whole, IPv6Network) and isinstance(taken, IPv6Network):
        return () if whole.subnet_of(taken) else whole.address_exclude(taken) if taken.subnet_of(whole) else (whole,)
    return (whole,)


def both(some: Networks, others: Networks) -> Networks:
    """What lies in both: two CIDRs are apart, or one holds the other."""
    inner = {one for one in some if _is_within(one, others)} | {one for one in others if _is_within(one, some)}
    return merged(inner)


def _is_within(one: Network, found: Networks) -> bool:
    return any(one.supernet(new_prefix=length) in found for length in range(one.prefixlen + 1))


def merged(found: Iterable[Network]) -> Networks:
    """The fewest networks that hold the same addresses."""
    known = set(found)
    four = collapse_addresses(one for one in known if isinstance(one, IPv4Network))
    six = collapse_addresses(one for one in known if isinstance(one, IPv6Network))
    return frozenset((*four, *six))


def one_network(text: str) -> Iterator[Network]:
    """The network, or none where the text is none: a rule that cannot be read lets nobody in."""
    try:
        yield ip_network(text, strict=False)
    except ValueError:
        return
