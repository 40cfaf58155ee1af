"""What a leader says of a linked cluster before it has looked at it."""

from __future__ import annotations

from pathlib import Path

from landbridge.agent.links import Link
from landbridge.agent.probe import Prober
from landbridge.agent.remote import Remote
from landbridge.agent.resolver import Resolver
from landbridge.agent.watching import Signal
from landbridge.clients.kubeconfig import Context
from tests.fakes import FakeClock


async def test_nobody_knows_who_is_behind_a_flat_service_before_it_was_listed(tmp_path: Path) -> None:
    """`nobody is there` would be another answer: a new leader took the slices of flat mirrors away until it had it."""
    clock, link = FakeClock(), Link(cluster="eks", gateways=(), identity="")
    context = Context(name="eks", cluster={"server": "https://127.0.0.1:1"}, user={})
    resolver = Resolver(clock, lambda: None)
    remote = Remote(link, context, Prober(tmp_path), clock, Signal(), lambda *_: None, resolver)
    assert not remote.synced
    assert remote.pods("shop", "flat") is None
    assert remote.ready("shop", "flat") is None
