"""What a run needs: the page says it, the plan decides it, and the roles hold it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landbridge.clients.kinds import KNOWN, Kind
from landbridge.errors import DocumentError
from landbridge.model.plan import Act, ActKind
from landbridge.model.service import ServiceId, Side
from landbridge.run.needs import NEEDS, OWN, RULES, Need, On, Rule
from landbridge.run.preflight import _rest
from landbridge.run.rights import Right, rights
from landbridge.run.roles import roles, subject_of

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"
SERVED = {(kind.group, kind.kind): (kind,) for kind in KNOWN.values()}
BOTH = dict.fromkeys(Side, SERVED)
WEB, SHOP = ServiceId("shop", "web"), ServiceId("shop", "*")


def act(kind: ActKind, service: ServiceId = WEB, **args: object) -> tuple[ServiceId, Act]:
    return service, Act(id=f"{service}/{kind.value}-{len(args)}", kind=kind, args=args)


EVERYTHING = [
    act(
        ActKind.COPY,
        SHOP,
        objects=[
            "v1 Namespace - shop",
            "v1 Secret shop db",
            "v1 Service shop alias",
            "rbac.authorization.k8s.io/v1 Role shop app",
            "rbac.authorization.k8s.io/v1 RoleBinding shop app",
            "rbac.authorization.k8s.io/v1 ClusterRoleBinding - app",
            "example.org/v1 Widget shop unknown-to-both",
        ],
    ),
    act(ActKind.READY, objects=["apps/v1 Deployment shop web"]),
    act(ActKind.PIN, objects=["autoscaling/v2 HorizontalPodAutoscaler shop web"]),
    act(ActKind.UNPIN, objects=["autoscaling/v2 HorizontalPodAutoscaler shop web"]),
    act(ActKind.ADOPT, side="source"),
    act(ActKind.ADOPT, side="target"),
    act(ActKind.EXPORT, side="source"),
    act(ActKind.SPLIT, replicas=2),
    act(ActKind.WEIGHT, percent=5),
    act(ActKind.FINISH),
    act(ActKind.SOAK, seconds=1),
    act(ActKind.SCALE, side="source", replicas=0, objects=["apps/v1 Deployment shop web"], services=["shop/web"]),
    act(ActKind.SCALE, SHOP, side="target", replicas=2, objects=["apps/v1 Deployment shop worker"]),
    act(ActKind.UNADOPT, side="target"),
    act(ActKind.HANDOVER, SHOP, objects=["batch/v1 CronJob shop nightly"]),
]


def of(acts: list[tuple[ServiceId, Act]], side: Side, served: Mapping[Side, object] = BOTH) -> set[str]:
    """`verb resource.group namespace name` of one side."""
    found = set()
    for right in rights(acts, served):  # type: ignore[arg-type]
        if right.side is side:
            resource = f"{right.resource}.{right.group}".rstrip(".")
            found |= {
                f"{verb} {resource} {right.namespace} {name}".rstrip()
                for verb in right.verbs
                for name in right.names or ("",)
            }
    return found


def rows() -> Iterator[tuple[str, ...]]:
    """The table as the page has it: for which acts, cluster, where, verbs, resources."""
    for need, rules in RULES.items():
        for rule in rules:
            yield need.value, _cluster(need, rule), _where(rule), ", ".join(rule.may), _on(rule)


def _cluster(need: Need, rule: Rule) -> str:
    given = [sides for pairs in NEEDS.values() for n, sides in pairs if n is need]
    if need is Need.SHRINK:
        return "source"
    if OWN in given:
        return "the act's"
    sides = {side for sides in given for side in sides} or set(Side)
    return rule.side or (next(iter(sides)) if len(sides) == 1 else "both")


def _where(rule: Rule) -> str:
    if rule.on is On.OBJECTS:
        return "where they are"
    return "`landbridge`" if rule.home else "the act's namespace"


def _on(rule: Rule) -> str:
    part = f"/{rule.part}" if rule.part else ""
    if isinstance(rule.on, On):
        return f"{rule.on}{part and f', {part}'}"
    texts = [f"{kind.plural}{part}{'.' if kind.group else ''}{kind.group}" for kind in rule.on]
    return ", ".join(texts) + (f" ({', '.join(rule.names)})" if rule.names else "")


def test_the_page_has_the_table_and_nothing_else() -> None:
    section = PAGE.read_text().split("## Who runs `run`")[1].split("\n## ")[0]
    found = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    said = {row[:5] for row in found if row[0] != "for"}
    assert said == set(rows())
    whys = {row[5] for row in found}
    assert all(rule.why in whys for rules in RULES.values() for rule in rules)


def test_no_kind_of_act_is_forgotten() -> None:
    assert set(NEEDS) == set(ActKind)
    assert set(RULES) == set(Need)
    for kind in set(ActKind) - {ActKind.COPY, ActKind.READY}:
        assert len(rights([act(kind, side="source", percent=5, replicas=0)], BOTH)) > len(rights([], BOTH))


def test_no_wildcards_and_secrets_only_by_name() -> None:
    found = rights(EVERYTHING, BOTH)
    assert not [r for r in found if "*" in {r.group, r.resource, *r.verbs, *r.names}]
    secrets = {(r.side, r.verbs, r.names) for r in found if r.resource == "secrets"}
    assert secrets == {
        (Side.SOURCE, ("get",), ("db",)),
        (Side.TARGET, ("get", "create", "patch"), ("db",)),
    }


def test_what_is_copied_is_read_here_and_written_there() -> None:
    source, target = of(EVERYTHING, Side.SOURCE), of(EVERYTHING, Side.TARGET)
    assert {"get services shop", "get namespaces shop shop"} <= source & target
    assert {"patch namespaces shop shop", "patch secrets shop db"} <= target - source
    assert "create namespaces shop shop" not in target
    assert not {line for line in source if "secrets" in line and not line.startswith("get ")}
    assert "escalate roles.rbac.authorization.k8s.io shop app" in target
    assert "bind clusterroles.rbac.authorization.k8s.io shop" in target
    assert "bind clusterroles.rbac.authorization.k8s.io" in target
    assert not {line for line in source | target if "widget" in line}


def test_a_service_that_is_only_copied_may_stand_adopted() -> None:
    copied = [act(ActKind.COPY, SHOP, objects=["v1 Service shop alias"])]
    assert {"get services shop alias", "get services shop alias-leaf"} <= of(copied, Side.SOURCE)
    assert "get services shop alias-leaf" not in of(copied, Side.TARGET)


def test_only_what_the_plan_scales_may_be_scaled_and_workers_are_not_looked_into() -> None:
    source, target = of(EVERYTHING, Side.SOURCE), of(EVERYTHING, Side.TARGET)
    scales = {line for line in source | target if "/scale" in line}
    assert scales == {"patch deployments/scale.apps shop web", "patch deployments/scale.apps shop worker"}
    assert "patch pods/ephemeralcontainers shop" in source
    assert "list pods landbridge" in source
    worker = [act(ActKind.SCALE, SHOP, side="source", replicas=0, objects=["apps/v1 Deployment shop worker"])]
    assert not {line for line in of(worker, Side.SOURCE) if "pods" in line}
    alone = [act(ActKind.SCALE, side="source", replicas=0, objects=["apps/v1 Deployment shop web"])]
    assert "patch pods/ephemeralcontainers shop" in of(alone, Side.SOURCE)


def test_the_switch_is_of_the_router_that_is_planned_or_else_served() -> None:
    weight, split = act(ActKind.WEIGHT, percent=5), act(ActKind.SPLIT, router="httproute")
    routes, splits = "patch httproutes.gateway.networking.k8s.io shop", "patch trafficsplits.split.smi-spec.io shop"
    assert splits in of([weight], Side.SOURCE)
    assert routes in of([weight, split], Side.SOURCE)
    assert splits not in of([weight, split], Side.SOURCE)
    bare = {key: kinds for key, kinds in SERVED.items() if key[1] != "TrafficSplit"}
    assert routes in of([weight], Side.SOURCE, {Side.SOURCE: bare, Side.TARGET: SERVED})
    assert splits in of([weight], Side.SOURCE, {Side.SOURCE: {}, Side.TARGET: {}}), "connect will bring it"


@given(st.lists(st.sampled_from(EVERYTHING)), st.lists(st.sampled_from(EVERYTHING)))
def test_more_acts_need_no_less_and_their_order_says_nothing(
    some: list[tuple[ServiceId, Act]], more: list[tuple[ServiceId, Act]]
) -> None:
    def granted(found: tuple[Right, ...]) -> list[dict[str, object]]:
        return [
            {"verbs": [v], "apiGroups": [r.group], "resources": [r.resource], "resourceNames": list(r.names)}
            for r in found
            for v in r.verbs
        ]

    both = rights([*some, *more], BOTH)
    assert both == rights([*more, *some, *some], BOTH)
    for right in rights(some, BOTH):
        near = [r for r in both if (r.side, r.namespace) == (right.side, right.namespace)]
        assert _rest(right, granted(tuple(near))) is None


names = st.sets(st.sampled_from("abc")).map(lambda found: tuple(sorted(found)))
verbs = st.sets(st.sampled_from(["get", "patch", "delete"]), min_size=1).map(lambda found: tuple(sorted(found)))


@settings(max_examples=120)
@given(verbs, names, st.lists(st.tuples(verbs | st.just(("*",)), names, st.sampled_from(["*", "pods", "pods/log"]))))
def test_what_rules_grant_is_what_rbac_grants(
    wanted: tuple[str, ...], named: tuple[str, ...], given: list[tuple[tuple[str, ...], tuple[str, ...], str]]
) -> None:
    """Against the definition: each verb on each name by some rule that has both."""
    right = Right(side=Side.SOURCE, namespace="shop", group="", resource="pods/log", verbs=wanted, names=named)
    rules = [
        {"verbs": list(v), "apiGroups": [""], "resources": [on], **({"resourceNames": list(n)} if n else {})}
        for v, n, on in given
    ]

    def allowed(verb: str, name: str) -> bool:
        return any({verb, "*"} & set(v) and on in {"*", "pods/log"} and (not n or name in n) for v, n, on in given)

    rest = _rest(right, rules)
    left = set(rest.verbs) if rest else set()
    assert left == {verb for verb in wanted if not all(allowed(verb, name) for name in named or ("",))}


def test_roles_hold_the_rights_and_bind_them_to_whoever_is_named() -> None:
    wanted = [right for right in rights(EVERYTHING, BOTH) if right.side is Side.TARGET]
    made = roles(wanted, subject_of("serviceaccount:ci/runner"), "eks")
    places = {(item["kind"], item["metadata"].get("namespace", "")) for item in made}
    assert places == {
        (kind, place)
        for place in ("shop", "landbridge", "")
        for kind in (("Role", "RoleBinding") if place else ("ClusterRole", "ClusterRoleBinding"))
    }
    assert all(item["metadata"]["labels"] == {"landbridge.dev/cluster": "eks"} for item in made)
    for item in made:
        if "subjects" in item:
            assert item["subjects"] == [{"kind": "ServiceAccount", "name": "runner", "namespace": "ci"}]
            assert {"kind": item["roleRef"]["kind"], "name": item["roleRef"]["name"]} in [
                {"kind": other["kind"], "name": other["metadata"]["name"]} for other in made if "rules" in other
            ]
    for right in wanted:
        [rules] = [
            item["rules"]
            for item in made
            if "rules" in item and item["metadata"].get("namespace", "") == right.namespace
        ]
        assert _rest(right, rules) is None


@pytest.mark.parametrize("text", ["", "ada", "user:", "robot:ada", "serviceaccount:runner", "serviceaccount:/runner"])
def test_a_subject_that_is_none(text: str) -> None:
    with pytest.raises(DocumentError, match="names nobody"):
        subject_of(text)


def test_a_subject_is_a_user_or_a_group_as_well() -> None:
    group = "rbac.authorization.k8s.io"
    assert subject_of("user:ada@example.org") == {"apiGroup": group, "kind": "User", "name": "ada@example.org"}
    assert subject_of("group:platform:ops") == {"apiGroup": group, "kind": "Group", "name": "platform:ops"}


def test_a_right_says_what_it_is() -> None:
    right = Right(side=Side.SOURCE, namespace="shop", group="apps", resource="deployments/scale", verbs=("patch",))
    assert str(right) == "patch deployments.apps/scale in shop"
    everywhere = replace(right, namespace="", group="", resource="secrets", names=("a", "b"), verbs=("get", "patch"))
    assert str(everywhere) == "get, patch secrets (a, b) in the whole cluster"


def test_kinds_are_those_that_the_cluster_serves() -> None:
    served = {**SERVED, ("example.org", "Widget"): (Kind("example.org/v1", "Widget", "widgetry"),)}
    found = of(EVERYTHING, Side.TARGET, {Side.SOURCE: served, Side.TARGET: served})
    assert "create widgetry.example.org shop unknown-to-both" in found


def test_each_side_needs_rights_on_what_its_own_router_writes() -> None:
    split = act(ActKind.SPLIT, plane="linkerd", router={"source": "serviceprofile", "target": "httproute-linkerd"})
    found = {(right.side, right.group) for right in rights([split], BOTH) if right.namespace == "shop"}
    assert found == {(Side.SOURCE, "linkerd.io"), (Side.TARGET, "policy.linkerd.io")}
