"""Both clusters get new authorities on real pods, by the command, while half of everything crosses in both directions.

A quarter of an hour, most of it for kubelets to bring new files to their pods.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from landbridge.agent.links import gateway_endpoint
from landbridge.agent.names import health_sni
from landbridge.agent.probe import Answer, Prober
from landbridge.clients.kinds import SECRET
from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect import identity, names
from landbridge.connect.certificates import read_authority
from landbridge.connect.check import check
from landbridge.connect.identity import Authority
from landbridge.connect.link import decode
from landbridge.envoy.state import sni
from landbridge.settings.migration import Cluster
from landbridge.settings.template import render_template
from tests.agent.bed import tls
from tests.connect.conftest import Joined
from tests.connect.test_dataplane import no_failures, pods, process, until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.soak,
    pytest.mark.timeout(2400),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("dataplane"),
]
CERTS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:15000/certs').read().decode())"


async def test_both_authorities_are_replaced_under_load_and_the_old_ones_are_trusted_nowhere(
    joined: Joined, tmp_path: Path
) -> None:
    clusters = (joined.legacy, joined.eks)
    over_there = replace(joined, legacy=joined.eks, eks=joined.legacy)
    await joined.bed.call(joined.eks, rate=100)
    await joined.weight(50)
    await joined.bed.pass_requests(joined.legacy, 100)
    await joined.bed.pass_requests(joined.eks, 100)
    old = {k8s.name: await authority(k8s) for k8s in clusters}
    assert await trusted(joined) == each_other(old)
    for k8s in clusters:
        assert await dialled(joined, k8s, old[k8s.name], tmp_path / f"{k8s.name}-before") is Answer.READY
    async with no_failures(joined) as here, no_failures(over_there) as there:
        for k8s in clusters:
            await rotate(joined, k8s.name, tmp_path)
        new = {k8s.name: await authority(k8s) for k8s in clusters}
        assert await trusted(joined) == each_other(new)
    for found in (here, there):
        logging.getLogger(__name__).info("%s", found)
        assert found["legacy"] > 0, found
        assert found["eks"] > 0, found
        assert found["tcp_sent"] > 0, found
        assert found["held_lines"] > 0, found
    for k8s in clusters:
        assert new[k8s.name].certificate != old[k8s.name].certificate
        assert await dialled(joined, k8s, new[k8s.name], tmp_path / f"{k8s.name}-new") is Answer.READY
        assert await dialled(joined, k8s, old[k8s.name], tmp_path / f"{k8s.name}-old") is Answer.SILENT

    async def passed() -> bool:
        return all(result.passed for result in await check(*clusters))

    await until(passed, "all checks passed")


async def authority(k8s: Kubernetes) -> Authority:
    return read_authority(await k8s.get(SECRET, names.CA, names.HOME))


async def rotate(joined: Joined, cluster: str, folder: Path) -> None:
    """What an operator does: the command, in a folder with migration.yaml."""
    source, target = [
        Cluster(name=place.name, context=place.name, kubeconfig=str(place.kubeconfig)) for place in joined.lab.clusters
    ]
    text = render_template(source=source, target=target, namespaces=[joined.bed.namespace])
    (folder / "migration.yaml").write_text(text)
    command = [sys.executable, "-m", "landbridge", "rotate", cluster, "-C", str(folder)]
    running = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told, _ = await running.communicate()
    assert running.returncode == 0, told.decode()


async def trusted(joined: Joined) -> dict[str, list[set[int]]]:
    """The serial numbers of the authorities that each Envoy of each cluster trusts, by its own word."""
    places = [("waypoint", joined.bed.namespace), ("gateway", names.HOME)]
    return {
        k8s.name: [
            authorities(process(pod["metadata"]["name"], "envoy"))
            for role, space in places
            for pod in await pods(k8s, role, space)
        ]
        for k8s in (joined.legacy, joined.eks)
    }


def each_other(made: dict[str, Authority]) -> dict[str, list[set[int]]]:
    """Two waypoints and two gateways in each cluster, and each trusts the other cluster's authority and no more."""
    serials = {name: x509.load_pem_x509_certificate(one.certificate).serial_number for name, one in made.items()}
    return {"legacy": [{serials["eks"]}] * 4, "eks": [{serials["legacy"]}] * 4}


def authorities(pid: int) -> set[int]:
    """Those that one Envoy trusts now, asked inside its pod."""
    command = ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", CERTS]
    certificates = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["certificates"]
    return {int(one["serial_number"], 16) for item in certificates for one in item.get("ca_cert", ())}


async def dialled(joined: Joined, k8s: Kubernetes, signer: Authority, folder: Path) -> Answer:
    """What the other cluster's gateway answers a leaf of this authority of ours."""
    other = joined.eks if k8s is joined.legacy else joined.legacy
    link = await k8s.get(SECRET, names.link_name(other.name), names.HOME)
    about = json.loads(decode(link, "link.json"))
    tls(folder, signer, identity.spiffe(k8s.name, names.HOME, names.GATEWAY), decode(link, "ca.crt"))
    name = health_sni(sni("echo", joined.bed.namespace, other.name, 80))
    prober = Prober(folder)
    try:
        return await prober.ask(gateway_endpoint(about["gateway"][0]), name, about["identity"])
    finally:
        prober.close()
