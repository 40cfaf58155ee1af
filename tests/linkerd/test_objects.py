"""What is written for each version: as the golden files say, and as a real API server with its definitions takes it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from landbridge.clients.answers import ApiError
from landbridge.clients.kubernetes import Kubernetes
from landbridge.linkerd import link
from landbridge.linkerd.link import Link
from landbridge.linkerd.versions import VERSIONS
from landbridge.model.manifest import selects
from landbridge.model.service import Manifest
from tests.linkerd.conftest import Install
from tests.linkerd.definitions import MINORS
from tests.linkerd.golden import FOLDER, text, written
from tests.linkerd.world import linkerd


@pytest.mark.parametrize("minor", MINORS)
def test_the_objects_of_a_version_are_those_of_its_golden_file(minor: int) -> None:
    assert text(minor) == (FOLDER / f"2.{minor}.yaml").read_text(), (
        "look at the difference; then python -m tests.linkerd.golden"
    )


def spec_of(minor: int) -> dict[str, Any]:
    found: dict[str, Any] = next(item["spec"] for item in written(minor) if item["kind"] == "Link")
    return found


def test_numbers_in_a_link_are_text_and_fields_come_with_their_version() -> None:
    for minor in MINORS:
        spec = spec_of(minor)
        assert (spec["gatewayPort"], spec["probeSpec"]["port"], spec["probeSpec"]["period"]) == ("4143", "4191", "3s")
        assert ("failureThreshold" in spec["probeSpec"]) == ("timeout" in spec["probeSpec"]) == (minor >= 17)
        assert ("federatedServiceSelector" in spec) == (minor >= 17)
        assert ("excludedLabels" in spec) == ("excludedAnnotations" in spec) == (minor >= 18)


def test_a_link_is_of_the_newest_version_that_is_served() -> None:
    """The extension may be older than the control plane."""
    here = linkerd(18)
    old = Link(here=linkerd(16), there=here, cluster="eks", door=here.door)  # type: ignore[arg-type]
    made = link.manifest(old, VERSIONS[18])
    assert made["apiVersion"].endswith("v1alpha1")
    assert not {"federatedServiceSelector", "excludedLabels"} & set(made["spec"])


def test_no_mirror_is_ever_exported() -> None:
    mirror = {link.EXPORTED: "true", link.MIRRORED: "true", "team": "shop"}
    assert selects(link.ALL, {"team": "shop"})
    assert not selects(link.ALL, mirror)
    copied = {key: value for key, value in mirror.items() if not key.startswith("mirror.linkerd.io")}
    assert not selects(link.LABELLED, copied), "Linkerd copies no label of its own group to a mirror"


def test_a_kubeconfig_is_in_no_repr() -> None:
    here = linkerd(18)
    made = Link(here=here, there=here, cluster="eks", door=here.door, kubeconfig="s3cret")  # type: ignore[arg-type]
    assert "s3cret" not in repr(made)


@pytest.mark.api
@pytest.mark.asyncio(loop_scope="module")
class TestOnAnApiServer:
    @pytest.mark.parametrize("minor", MINORS)
    async def test_every_object_is_taken_as_it_is(self, minor: int, install: Install) -> None:
        k8s = await install(minor)
        for manifest in written(minor):
            taken = await k8s.apply(manifest, force=True, dry_run=manifest["kind"] == "Secret")
            assert taken["apiVersion"] == manifest["apiVersion"]
            assert without_defaults(taken.get("spec"), manifest.get("spec")) == manifest.get("spec")
        await clear(k8s, minor)

    @pytest.mark.parametrize("minor", [14, 16, 19])
    async def test_without_gateway_api_linkerds_own_route_is_taken(self, minor: int, install: Install) -> None:
        k8s = await install(minor, gateway_api=False)
        routes = [item for item in written(minor, gateway_api=False) if item["kind"] == "HTTPRoute"]
        assert [item["apiVersion"] for item in routes] == ["policy.linkerd.io/v1beta3"]
        assert await k8s.apply(routes[0], dry_run=True)

    @pytest.mark.parametrize(("minor", "of"), [(14, 17), (16, 18), (17, 18)])
    async def test_fields_of_a_newer_version_are_refused(self, minor: int, of: int, install: Install) -> None:
        """The check can fail: what 2.18 is given is nothing for 2.16."""
        k8s = await install(minor)
        newer = next(item for item in written(of) if item["kind"] == "Link")
        newer["apiVersion"] = next(item for item in written(minor) if item["kind"] == "Link")["apiVersion"]
        with pytest.raises(ApiError, match=r"(?i)unknown field|field not declared"):
            await k8s.create(newer, dry_run=True)

    async def test_numbers_where_text_belongs_are_refused(self, install: Install) -> None:
        k8s = await install(18)
        wrong = deepcopy(next(item for item in written(18) if item["kind"] == "Link"))
        wrong["spec"]["gatewayPort"] = 4143
        with pytest.raises(ApiError, match="gatewayPort"):
            await k8s.create(wrong, dry_run=True)


def without_defaults(taken: Any, wrote: Any) -> Any:
    """What we wrote of what was taken: defaults that the definition adds do not matter, changed values do."""
    if isinstance(wrote, dict) and isinstance(taken, dict):
        return {key: without_defaults(taken.get(key), value) for key, value in wrote.items()}
    if isinstance(wrote, list) and isinstance(taken, list) and len(wrote) == len(taken):
        return [without_defaults(one, other) for one, other in zip(taken, wrote, strict=True)]
    return taken


async def clear(k8s: Kubernetes, minor: int) -> None:
    done: list[Manifest] = [item for item in written(minor) if item["kind"] != "Secret"]
    for item in done:
        await k8s.delete(await k8s.kind_of(item), item["metadata"]["name"], item["metadata"].get("namespace") or "")
