"""What each version of Linkerd reads and writes, as data; facts from its charts and its policy controller.

https://linkerd.io/2/reference/k8s-versions/, https://linkerd.io/2/features/gateway-api/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

OLDEST, NEWEST = 14, 20
"""Minor versions that landbridge drives: 2.14 is the first whose mirrors and routes have their present form."""

LINKS = "links.multicluster.linkerd.io"
SPLITS = "trafficsplits.split.smi-spec.io"
GATEWAY_ROUTES = "httproutes.gateway.networking.k8s.io"
POLICY_ROUTES = "httproutes.policy.linkerd.io"
PROFILES = "serviceprofiles.linkerd.io"
DEFINITIONS = (LINKS, SPLITS, GATEWAY_ROUTES, POLICY_ROUTES, PROFILES)

Bundle = tuple[int, int, int]

_EDGES: tuple[tuple[tuple[int, int], int], ...] = (
    ((23, 9), 14),
    ((24, 3), 15),
    ((24, 9), 16),
    ((24, 12), 17),
    ((25, 5), 18),
    ((25, 11), 19),
    ((26, 7), 20),
)
"""(year, month) from which an edge release has all of a minor version: the month after it came out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One minor version.

    `link` is the newest version of Link that it serves, `route` the version of Gateway API's HTTPRoute that it reads,
    `bundles` the oldest and newest Gateway API that it supports, `controller` how the mirror controller of a linked
    cluster begins.
    """

    minor: int
    link: str
    route: str
    bundles: tuple[Bundle, Bundle]
    policy: str = "v1beta3"
    probe_limits: bool = True
    federated: bool = True
    excluded: bool = True
    controller: str = "controller-"

    @property
    def name(self) -> str:
        """As people say it."""
        return f"2.{self.minor}"


_OLD = "linkerd-service-mirror-"


def _before_18(minor: int, newest: Bundle, *, link: str = "v1alpha1", probe: bool = False) -> Version:
    return Version(
        minor=minor,
        link=link,
        route="v1beta1",
        bundles=((0, 7, 0), newest),
        probe_limits=probe,
        federated=probe,
        excluded=False,
        controller=_OLD,
    )


def _since_18(minor: int, oldest: Bundle, newest: Bundle) -> Version:
    return Version(minor=minor, link="v1alpha3", route="v1", bundles=(oldest, newest))


VERSIONS: Mapping[int, Version] = {
    found.minor: found
    for found in (
        _before_18(14, (0, 7, 1)),
        _before_18(15, (1, 1, 1)),
        _before_18(16, (1, 1, 1)),
        _before_18(17, (1, 1, 1), link="v1alpha2", probe=True),
        _since_18(18, (1, 1, 1), (1, 2, 1)),
        _since_18(19, (1, 1, 1), (1, 2, 1)),
        _since_18(20, (1, 2, 1), (1, 5, 1)),
    )
}


def read_minor(text: str) -> int:
    """18 from `stable-2.18.1`, `version-2.18` or an edge release of that time; 0 when it cannot be told."""
    if found := re.search(r"(?:^|-)v?2\.(\d+)", text):
        return int(found[1])
    if found := re.match(r"edge-(\d+)\.(\d+)", text):
        date = (int(found[1]), int(found[2]))
        return max((minor for since, minor in _EDGES if date >= since), default=0)
    return 0


def version_of(minor: int) -> Version | None:
    """What is known of a minor version; one that is newer than all known is taken as the newest."""
    return VERSIONS.get(min(minor, NEWEST))


def read_bundle(text: str) -> Bundle | None:
    """(1, 2, 1) from `v1.2.1` or `v1.2.1-rc1`; None otherwise."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def supports(version: Version, bundle: str) -> bool:
    """Whether these Gateway API definitions are ones that this version obeys; those that do not say, are not."""
    found = read_bundle(bundle)
    return found is not None and version.bundles[0] <= found <= version.bundles[1]
