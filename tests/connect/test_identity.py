"""Certificates: who signs, who is trusted, when they are renewed, and rotation against real TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from landbridge.clock import SystemClock
from landbridge.connect import identity
from landbridge.connect.identity import Authority, Leaf

NOW = 1_800_000_000.0
WHO = identity.spiffe("legacy", "shop", "landbridge-waypoint")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return identity.make_authority("legacy", now=NOW)


def test_a_leaf_speaks_for_one_identity_only(authority: Authority) -> None:
    leaf = identity.issue(authority, WHO, now=NOW)
    assert identity.identities(leaf.certificate) == ("spiffe://legacy/ns/shop/sa/landbridge-waypoint",)
    assert identity.issued_by(leaf.certificate, authority.certificate)
    constraints = x509.load_pem_x509_certificate(leaf.certificate).extensions
    assert constraints.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_another_authority_of_the_same_cluster_did_not_sign_it(authority: Authority) -> None:
    leaf = identity.issue(authority, WHO, now=NOW)
    other = identity.make_authority("legacy", now=NOW)
    assert not identity.issued_by(leaf.certificate, other.certificate)
    assert not identity.issued_by(b"not a certificate", authority.certificate)


@given(age=st.floats(0, identity.LEAF_LIFETIME * 2))
def test_a_leaf_is_renewed_at_half_its_life(authority: Authority, age: float) -> None:
    leaf = identity.issue(authority, WHO, now=NOW)
    half = (identity.LEAF_LIFETIME - identity.BACKDATED) / 2
    assert identity.renewal_due(leaf.certificate, now=NOW + age) == (age >= half)


def test_what_cannot_be_read_is_due() -> None:
    assert identity.renewal_due(b"", now=NOW)


def test_a_leaf_never_outlives_its_authority() -> None:
    short = identity.make_authority("legacy", now=NOW, lifetime=3600)
    leaf = identity.issue(short, WHO, now=NOW)
    assert identity.expires(leaf.certificate) == identity.expires(short.certificate)


def test_keys_are_not_in_the_repr(authority: Authority) -> None:
    leaf = identity.issue(authority, WHO, now=NOW)
    assert "PRIVATE KEY" not in repr(authority) + repr(leaf)


def test_a_bundle_has_each_certificate_once(authority: Authority) -> None:
    other = identity.make_authority("eks", now=NOW)
    both = identity.bundle(authority.certificate, other.certificate)
    assert identity.bundle(both, authority.certificate, b"") == both
    assert len(x509.load_pem_x509_certificates(both)) == 2


def test_bundles_are_alike_whatever_their_order(authority: Authority) -> None:
    """While a rotation went on `check` said of two files with the same certificates that one was another bundle."""
    other = identity.make_authority("legacy", now=NOW)
    there, back = authority.certificate + other.certificate, other.certificate + authority.certificate
    assert identity.alike(there, back, there + back)
    assert not identity.alike(there, authority.certificate)
    assert not identity.alike(there, b"")


def test_rotation_is_trusted_at_every_moment(authority: Authority, tmp_path: Path) -> None:
    """trust-both, new leaves, drop the old: each stage's leaf is good for each stage's bundle that may meet it."""
    at = identity.BACKDATED + NOW
    rotated = identity.rotate(authority, "legacy", now=at)
    finished = Authority(certificate=rotated.certificate, key=rotated.key)
    old, new = identity.issue(authority, WHO, now=at), identity.issue(rotated, WHO, now=at)
    meetings = [(old, authority), (old, rotated), (new, rotated), (new, finished)]
    assert [verifies(leaf, known.trusted, at) for leaf, known in meetings] == [True] * 4
    assert not verifies(old, finished.trusted, at), "the dropped authority vouches for nobody"


def verifies(leaf: Leaf, trusted: bytes, at: float) -> bool:
    authorities = x509.load_pem_x509_certificates(trusted)
    return any(identity.issued_by(leaf.certificate, item.public_bytes(Encoding.PEM)) for item in authorities) and (
        at < identity.expires(leaf.certificate)
    )


async def test_openssl_accepts_the_chain_both_ways(tmp_path: Path) -> None:
    """Mutual TLS 1.3 between two clusters' leaves, each trusting the other's authority only."""
    now = SystemClock().now()
    ours, theirs = identity.make_authority("legacy", now=now), identity.make_authority("eks", now=now)
    client = identity.issue(ours, WHO, now=now)
    server = identity.issue(theirs, identity.spiffe("eks", "landbridge", "landbridge-gateway"), now=now)
    listening = await asyncio.start_server(
        _answer, "127.0.0.1", 0, ssl=context(ssl.PROTOCOL_TLS_SERVER, server, ours.trusted, tmp_path / "server")
    )
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        tls = context(ssl.PROTOCOL_TLS_CLIENT, client, theirs.trusted, tmp_path / "client")
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        assert await reader.readline() == b"spiffe://legacy/ns/shop/sa/landbridge-waypoint\n"
        writer.close()


def context(protocol: int, leaf: Leaf, trusted: bytes, folder: Path) -> ssl.SSLContext:
    folder.mkdir()
    (folder / "tls.pem").write_bytes(leaf.certificate + leaf.key)
    tls = ssl.SSLContext(protocol)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.load_cert_chain(folder / "tls.pem")
    tls.load_verify_locations(cadata=trusted.decode())
    return tls


async def _answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    peer = writer.get_extra_info("ssl_object").getpeercert()
    writer.write(next(value for kind, value in peer["subjectAltName"] if kind == "URI").encode() + b"\n")
    await writer.drain()
    writer.close()
