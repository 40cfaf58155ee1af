"""The clusters' certificate authorities and SPIFFE leaves: pure, PEM in and PEM out.

Every cluster signs its own leaves and trusts the other clusters' authorities, never its own for incoming calls.
Rotation goes trust-both, new leaves, drop the old: `rotate` begins it, `bundle` is what others trust meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = 10 * 365 * 86400.0
LEAF_LIFETIME = 86400.0  # DESIGN: leaves of 24 h, renewed at half
BACKDATED = 300.0  # clocks of two clusters differ; 5 min is what kube-controller-manager allows itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A cluster's certificate authority. `previous` is the certificate that is still trusted while rotating, `coming`
    the one that is trusted already and signs nothing yet.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    previous: bytes = b""
    coming: bytes = b""

    @property
    def trusted(self) -> bytes:
        """What the other clusters have to trust now."""
        return bundle(self.certificate, self.previous, self.coming)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A certificate with one SPIFFE URI, and its key."""

    certificate: bytes
    key: bytes = field(repr=False)


def spiffe(cluster: str, namespace: str, account: str) -> str:
    """The identity of a ServiceAccount of a cluster."""
    return f"spiffe://{cluster}/ns/{namespace}/sa/{account}"


def make_authority(cluster: str, *, now: float, lifetime: float = AUTHORITY_LIFETIME) -> Authority:
    """A new self-signed authority (ECDSA P-256) that may sign leaves only."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "landbridge"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{cluster[:40]} {serial:x}"[:64]),  # differs after a rotation
        ]
    )
    usage = _usage(signs_certificates=True)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=serial)
        .not_valid_before(_moment(now - BACKDATED))
        .not_valid_after(_moment(now + lifetime))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate=_pem(certificate), key=_key_pem(key))


def rotate(authority: Authority, cluster: str, *, now: float) -> Authority:
    """A new authority that still vouches for the old one; distribute `trusted` before any leaf is issued from it."""
    fresh = make_authority(cluster, now=now)
    return Authority(certificate=fresh.certificate, key=fresh.key, previous=authority.certificate)


def issue(authority: Authority, identity: str, *, now: float, lifetime: float = LEAF_LIFETIME) -> Leaf:
    """A leaf for a SPIFFE identity; never valid for longer than the authority itself."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(_moment(now + lifetime), issuer.not_valid_after_utc)
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
    certificate = (
        x509.CertificateBuilder(
            issuer_name=issuer.subject,
            subject_name=x509.Name([]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
        )
        .not_valid_before(_moment(now - BACKDATED))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(names, critical=True)  # RFC 5280 4.2.1.6: critical where the subject is empty
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    return Leaf(certificate=_pem(certificate), key=_key_pem(key))


def renewal_due(certificate: bytes, *, now: float) -> bool:
    """Whether half of a certificate's life is over, or it cannot be read at all."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        return True
    born, dies = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    return now >= (born + dies) / 2


def issued_by(leaf: bytes, authority: bytes) -> bool:
    """Whether an authority's certificate signed this leaf."""
    try:
        signed = x509.load_pem_x509_certificate(leaf)
        signed.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def identities(certificate: bytes) -> tuple[str, ...]:
    """The URIs that a leaf speaks for."""
    found = x509.load_pem_x509_certificate(certificate)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(names.get_values_for_type(x509.UniformResourceIdentifier))


def expires(certificate: bytes) -> float:
    """When a certificate ends, in seconds since the epoch."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()


def bundle(*pems: bytes) -> bytes:
    """All certificates of some PEM texts, each once, in the order given: what a CA file holds."""
    found: dict[bytes, None] = {}
    for pem in pems:
        for certificate in x509.load_pem_x509_certificates(pem) if pem.strip() else ():
            found[_pem(certificate)] = None
    return b"".join(found)


def alike(*bundles: bytes) -> bool:
    """Whether PEM texts hold the same certificates, in whatever order: a rotation writes its two newest first."""
    return (
        len({frozenset(x509.load_pem_x509_certificates(pem)) if pem.strip() else frozenset() for pem in bundles}) <= 1
    )


def tls_files(leaf: Leaf, trusted: Iterable[bytes]) -> dict[str, bytes]:
    """The contents of a `landbridge-tls` Secret: the leaf and the other clusters' authorities."""
    return {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": bundle(*trusted)}


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(microsecond=0)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
