"""Whether two clusters are joined by the Linkerd that they have, and what forbids it (pure).

Everything that can be known is asked before the first write, so that nothing is ever half joined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from landbridge.linkerd.mechanism import No
from landbridge.linkerd.versions import LINKS, NEWEST, OLDEST, version_of
from landbridge.model.linkerd import Door, Linkerd
from landbridge.model.service import BUILTIN, LINKERD

AUTO = "auto"
PLANES = (AUTO, LINKERD.name, BUILTIN.name)
ELSE = "or set dataPlane.plane: builtin"


@dataclass(frozen=True, slots=True)
class End:
    """One cluster: its name, and Linkerd in it if there is any."""

    name: str
    linkerd: Linkerd | None
    door: Door | None = None
    """Where the other cluster dials it, if that is not what its gateway's Service says."""

    @property
    def entrance(self) -> Door | None:
        """Where the other cluster dials it."""
        return self.door or (self.linkerd.door if self.linkerd else None)


def decide(wanted: str, source: End, target: End, namespaces: Collection[str]) -> tuple[str, str]:
    """The data plane by its name, and why; `auto` takes Linkerd where it is in the path of what moves already."""
    if wanted != AUTO:
        return wanted, f"dataPlane.plane is {wanted}"
    for end in (source, target):
        if end.linkerd is None:
            return BUILTIN.name, f"{end.name} has no Linkerd"
        if not end.linkerd.multicluster:
            return BUILTIN.name, f"Linkerd in {end.name} has no multicluster extension"
    assert source.linkerd
    plain = sorted(set(namespaces) - set(source.linkerd.injected))
    if plain:
        return BUILTIN.name, f"pods in {', '.join(plain)} of {source.name} get no proxy of Linkerd"
    return LINKERD.name, "both clusters have Linkerd with its multicluster extension"


def problems(source: End, target: End, namespaces: Collection[str]) -> list[No]:
    """Why Linkerd cannot join them, each with the place and what to do; empty when it can."""
    ends = ((source, target), (target, source))
    found = [no for here, there in ends for no in _of(here, there, namespaces)]
    return found + ([] if found else list(_trust(source, target)))


def _of(here: End, there: End, namespaces: Collection[str]) -> Iterator[No]:
    linkerd = here.linkerd
    if linkerd is None:
        yield No("there is no Linkerd", here.name, f"install it, {ELSE}")
        return
    known = version_of(linkerd.minor)
    if known is None:
        said = linkerd.version or "no version"
        yield No(
            f"Linkerd says {said}, which is none that landbridge drives (2.{OLDEST} to 2.{NEWEST})", here.name, ELSE
        )
        return
    if not linkerd.multicluster:
        yield No(
            "Linkerd's multicluster extension is not installed", here.name, f"`linkerd multicluster install`, {ELSE}"
        )
        return
    if not {"v1alpha1", "v1alpha2", "v1alpha3"} & set(linkerd.served[LINKS]):
        yield No(f"no known version of Link is served ({', '.join(linkerd.served[LINKS])})", here.name, ELSE)
    yield from _door(here)
    yield from _link(here, there)
    plain = sorted(set(namespaces) - set(linkerd.injected))
    if plain and here.linkerd and there.linkerd:
        advice = "annotate them with linkerd.io/inject: enabled and restart their pods, " + ELSE
        yield No(
            f"pods in {', '.join(plain)} get no proxy, so no split is obeyed and no mirror answers", here.name, advice
        )


def _door(here: End) -> Iterator[No]:
    door = here.entrance
    if door is None:
        advice = "install the extension with a gateway (`linkerd multicluster install --gateway`)"
        yield No("there is no multicluster gateway", here.name, advice)
    elif not door.addresses:
        advice = "look at the Service's events; where there is no load balancer name the address (gateways option)"
        yield No("the gateway's Service has no address", here.name, advice)
    elif not door.identity:
        yield No("the gateway's Service names no identity", here.name, "install the extension again")


def _link(here: End, there: End) -> Iterator[No]:
    """A Link that stands is used as it is; a mirror controller has to be there, for it is Linkerd's to run."""
    assert here.linkerd
    linkerd, door = here.linkerd, there.entrance
    standing = next((link for link in linkerd.links if link.cluster == there.name), None)
    if standing is None and door and door.addresses:
        twins = [link for link in linkerd.links if set(link.gateway.split(",")) & set(door.addresses)]
        if twins:
            what = f"the Link {twins[0].name} leads there under the name {twins[0].cluster}"
            yield No(
                what, here.name, f"call the cluster {twins[0].cluster} in migration.yaml, as its mirrors are called"
            )
            return
    if there.name not in linkerd.controllers:
        yield No(
            f"no mirror controller for a cluster called {there.name} is ready", here.name, _controller(linkerd, there)
        )


def _controller(linkerd: Linkerd, there: End) -> str:
    if linkerd.minor >= 18:
        value = f"controllers: [{{link: {{ref: {{name: {there.name}}}}}}}]"
        return f"add `{value}` to the values of the chart linkerd-multicluster"
    return f"`linkerd multicluster link --cluster-name {there.name}` against the other cluster, applied here, brings it"


def _trust(source: End, target: End) -> Iterator[No]:
    """What was configured, which may not be what is used (linkerd2#11668): refused only with nothing in common."""
    assert source.linkerd
    assert target.linkerd
    ours, theirs = set(source.linkerd.anchors), set(target.linkerd.anchors)
    if ours and theirs and not ours & theirs:
        advice = "give both clusters one trust anchor (https://linkerd.io/2/tasks/multicluster/#install-linkerd)"
        yield No("the two Linkerds have no trust anchor in common", f"{source.name}, {target.name}", advice)
