"""Certificates and kubeconfigs are what Kubernetes' own programs accept."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from landbridge.lab.cluster.authority import make_authority, make_kubeconfig, merge_kubeconfigs, write_kubeconfig


def test_a_certificate_names_user_groups_and_hosts() -> None:
    ca = make_authority("legacy-ca")
    pair = ca.sign("admin", groups=("system:masters",), hosts=("10.90.0.11", "localhost"))
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    names = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert names == {NameOID.COMMON_NAME: "admin", NameOID.ORGANIZATION_NAME: "system:masters"}
    hosts = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(host.value) for host in hosts] == ["10.90.0.11", "localhost"]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.pair.certificate))


def test_merged_kubeconfig_has_a_context_for_each(tmp_path: Path) -> None:
    configs = []
    for name in ("legacy", "eks"):
        ca = make_authority(name)
        configs.append(make_kubeconfig(name, f"https://{name}:6443", ca.pair.certificate, ca.sign("admin")))
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, merge_kubeconfigs(configs))
    read = yaml.safe_load(path.read_text())
    assert [context["name"] for context in read["contexts"]] == ["legacy", "eks"]
    assert read["current-context"] == "legacy"
    assert b"CERTIFICATE" in base64.b64decode(read["clusters"][1]["cluster"]["certificate-authority-data"])
    assert path.stat().st_mode & 0o077 == 0
