"""A cluster's certificate authority and everything it signs: its programs' certificates and kubeconfigs."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Signs for one cluster."""

    pair: Pair

    def sign(self, name: str, *, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> Pair:
        """A certificate for client and server use: `name` is the user, `groups` are its groups."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.load_pem_x509_certificate(self.pair.certificate)
        signer = serialization.load_pem_private_key(self.pair.key, None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        builder = _begin(name, groups, issuer.subject, key).add_extension(usage, critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_get_host(h) for h in hosts]), critical=False)
        return _finish(builder, key, signer)


def make_authority(name: str) -> Authority:
    """A new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _begin(name, (), subject, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    return Authority(pair=_finish(builder, key, key))


def make_account_keys() -> Pair:
    """The key that signs ServiceAccount tokens, and its public half in place of a certificate."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Pair(certificate=public, key=_get_pem(key))


def _begin(
    name: str, groups: Sequence[str], issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    now = datetime.now(UTC)  # noqa: TID251 - a certificate's dates are the machine's, nothing is decided by them
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_DAYS))
    )


def _finish(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> Pair:
    signed = builder.sign(signer, hashes.SHA256())
    return Pair(certificate=signed.public_bytes(serialization.Encoding.PEM), key=_get_pem(key))


def _get_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _get_host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def write_pair(folder: Path, name: str, pair: Pair) -> None:
    """Write `<name>.crt` and `<name>.key`, the key for its owner only."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.crt").write_bytes(pair.certificate)
    write_secret(folder / f"{name}.key", pair.key)


def write_secret(path: Path, content: bytes) -> None:
    """Write a file for its owner only."""
    path.touch(mode=0o600)
    path.write_bytes(content)


def make_kubeconfig(cluster: str, url: str, ca: bytes, user: Pair | str) -> dict[str, object]:
    """A kubeconfig with everything inline, for such files are copied into Secrets and pods; a text is a token."""
    shown = (
        {"token": user}
        if isinstance(user, str)
        else {"client-certificate-data": _encode(user.certificate), "client-key-data": _encode(user.key)}
    )
    place = {"server": url, "certificate-authority-data": _encode(ca), "disable-compression": True}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": place}],
        "users": [{"name": cluster, "user": shown}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
        "current-context": cluster,
    }


def merge_kubeconfigs(configs: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """One kubeconfig with the contexts of all; the first one's is current."""
    merged: dict[str, object] = dict(configs[0])
    for part in ("clusters", "users", "contexts"):
        merged[part] = [entry for config in configs for entry in _get_list(config, part)]
    return merged


def _get_list(config: Mapping[str, object], part: str) -> list[object]:
    entries = config[part]
    assert isinstance(entries, list)
    return entries


def write_kubeconfig(path: Path, config: Mapping[str, object]) -> None:
    """Write it for its owner only."""
    write_secret(path, yaml.safe_dump(dict(config), sort_keys=False).encode())


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
