"""The cases that are rules about data: what is exported, what mirrors follow from it, and which are never touched."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent import links, names
from landbridge.agent.answers import ALL, Book
from landbridge.agent.likeness import RESOURCE_VERSION, wanted_mirror, wanted_mirrors
from landbridge.agent.links import Link
from landbridge.agent.mirrors import Create, Delete, Here, Key, Skip, Update, plan
from landbridge.agent.probe import Answer
from landbridge.clients.kubeconfig import Context
from landbridge.connect.link import Link as Written
from landbridge.connect.link import kubeconfig
from landbridge.laws.weights import Health, may_raise
from landbridge.model.exports import Exports, MirrorRules
from landbridge.model.service import Limits, Manifest, Weight
from tests.agent.objects import service

WHO = "spiffe://eks/ns/landbridge/sa/landbridge-gateway"
LINK = Link(cluster="eks", gateways=("10.90.0.12:15443",), identity=WHO)
HEADLESS = Link(cluster="eks", gateways=LINK.gateways, identity=WHO, rules=MirrorRules(headless=True))
EXPORT = {names.EXPORTED: "true"}
FLAT = {names.EXPORTED: "remote-discovery"}
ALL_BUT_MIRRORS = Exports(everything=True)


def exported(name: str, namespace: str = "shop", **more: Any) -> Manifest:
    return service(name, namespace, labels=EXPORT | more.pop("labels", {}), **more)


def settled(*items: Manifest, version: str = "9") -> dict[Key, Manifest]:
    """Services as they stand in the cluster after they were written."""
    found = [item | {"metadata": item["metadata"] | {"resourceVersion": version}} for item in items]
    return {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in found}


def here(*items: Manifest, spaces: tuple[str, ...] = ("shop", "stock")) -> Here:
    return Here(services=settled(*items), namespaces=spaces)


def test_i02_a_link_carries_what_is_exported_and_how_and_an_api_server_of_its_own() -> None:
    exports = Exports(everything=True, include=("shop/*",), exclude_ports={"shop/web": ("9090",)})
    rules = MirrorRules(headless=True, excluded_labels=("evil", "evil.linkerd/*"))
    config = kubeconfig(
        Context(name="eks", cluster={"server": "https://127.0.0.1:1", "certificate-authority-data": "eA=="}, user={}),
        "eks",
        {"token": base64.b64encode(b"t").decode()},
        "https://10.0.0.9:6443",
    )
    written = Written(
        cluster="eks", gateways=(), identity=WHO, authority=b"", exports=exports, mirrors=rules, kubeconfig=config
    )
    read = links.read(written.secret())
    assert read == Link(cluster="eks", gateways=(), identity=WHO, exports=exports, rules=rules)
    assert "https://10.0.0.9:6443" in config
    assert "127.0.0.1" not in config


def test_u02_a_stateful_set_is_mirrored_as_a_whole_and_pod_by_pod() -> None:
    whole, *pods = wanted_mirrors(HEADLESS, exported("db", clusterIP="None"), ["db-1", "db-0"])
    assert whole["spec"]["clusterIP"] == "None"
    assert [pod["metadata"]["name"] for pod in pods] == ["db-0-eks", "db-1-eks"]
    assert "clusterIP" not in pods[0]["spec"]
    assert names.remote_service(pods[0]) == ("shop", "db-0.db")


def test_u02_without_the_option_a_headless_service_is_mirrored_like_any_other() -> None:
    (mirror,) = wanted_mirrors(LINK, exported("db", clusterIP="None"), ["db-0"])
    assert "clusterIP" not in mirror["spec"]


def test_u03_a_flat_service_has_the_labels_of_remote_discovery_and_no_gateway() -> None:
    mirror = wanted_mirror(service("web", labels=FLAT), LINK)
    assert names.label(mirror, names.REMOTE_DISCOVERY) == "eks"
    assert names.label(mirror, names.REMOTE_SERVICE) == "web"
    assert names.annotation(mirror, names.GATEWAYS) == ""


def test_u04_a_link_without_a_gateway_mirrors_only_flat_services() -> None:
    bare = Link(cluster="eks", gateways=(), identity=WHO)
    skip, create = plan(bare, [exported("api"), service("web", labels=FLAT)], here())
    assert isinstance(skip, Skip)
    assert "no gateway" in skip.reason
    assert isinstance(create, Create)
    assert create.manifest["metadata"]["name"] == "web-eks"


@pytest.mark.parametrize("case", ["u16", "u17", "u18"])
def test_u16_u17_u18_nothing_is_exported_that_nobody_asked_for(case: str) -> None:
    """Linkerd's three ways of an empty selector: none, one without terms, one that matches nothing."""
    policy = {
        "u16": Exports.read({}),
        "u17": Exports(include=()),
        "u18": Exports(everything=True, include=("nowhere/*",)),
    }[case]
    assert not policy.covers(service("web"))
    assert not policy.covers(service("web", labels={names.EXPORTED: "false"}))
    assert not policy.covers(service("web", labels={names.EXPORTED: ""}))


def test_u19_pods_that_come_and_go_bring_and_take_their_mirrors() -> None:
    db = exported("db", clusterIP="None")
    before = wanted_mirrors(HEADLESS, db, ["db-0", "db-1"])
    changes = plan(HEADLESS, [db], here(*before), {("shop", "db"): ["db-1", "db-2"]})
    made = [item.manifest["metadata"]["name"] for item in changes if isinstance(item, Create)]
    gone = [item.name for item in changes if isinstance(item, Delete)]
    assert (made, gone) == (["db-2-eks"], ["db-0-eks"])
    assert plan(HEADLESS, [db], here(*before), {("shop", "db"): ["db-1", "db-0"]}) == []


def test_u19_a_stateful_set_scaled_to_nothing_stays_headless() -> None:
    db = exported("db", clusterIP="None")
    before = wanted_mirrors(HEADLESS, db, ["db-0"])
    assert [type(item) for item in plan(HEADLESS, [db], here(*before), {("shop", "db"): []})] == [Delete]
    assert isinstance(plan(HEADLESS, [db], here())[0], Skip)


@pytest.mark.parametrize("case", ["u20", "u21"])
def test_u20_u21_what_goes_in_one_namespace_stays_in_another(case: str) -> None:
    """linkerd2#15200: a cleanup crossed namespaces in production."""
    dbs = [exported("db", space, clusterIP="None") for space in ("shop", "stock")]
    hostnames = {(space, "db"): ["db-0"] for space in ("shop", "stock")}
    before = [mirror for db in dbs for mirror in wanted_mirrors(HEADLESS, db, ["db-0"])]
    left, pods = (dbs[1:], hostnames) if case == "u20" else (dbs, hostnames | {("shop", "db"): []})
    changes = plan(HEADLESS, left, here(*before), pods)
    assert changes
    assert all(isinstance(item, Delete) and item.namespace == "shop" for item in changes)


@pytest.mark.parametrize("event", ["add", "update"])
def test_u24_u25_u26_u27_an_exported_service_is_made_updated_left_alone_or_taken_away(event: str) -> None:
    web = exported("web")
    web["metadata"]["resourceVersion"] = "1" if event == "add" else "2"
    (made,) = plan(LINK, [web], here())
    assert isinstance(made, Create), "u24: not mirrored yet"
    mirror = made.manifest
    older = mirror | {"metadata": mirror["metadata"] | {"annotations": dict(mirror["metadata"]["annotations"])}}
    older["metadata"]["annotations"][RESOURCE_VERSION] = "0"
    (updated,) = plan(LINK, [web], here(older))
    assert isinstance(updated, Update), "u25: another version"
    assert updated.patch == {"metadata": {"annotations": {RESOURCE_VERSION: web["metadata"]["resourceVersion"]}}}
    assert plan(LINK, [web], here(mirror)) == [], "u26: the same version"
    assert [type(item) for item in plan(LINK, [], here(mirror))] == [Delete], "u27: no longer selected"


def test_u29_deleting_what_was_never_exported_changes_nothing() -> None:
    assert plan(LINK, [], here(service("web"), service("web-eks", selector={"app": "own"}))) == []


@given(st.integers(0, 2**32))
def test_u30_1024_flips_end_in_what_was_seen_last(seed: int) -> None:
    """Whatever the order of probes, hints and silence: a silent gateway is never ready, and the last answers win."""
    random, book, key = Random(seed), Book(), ("shop", "web")
    for answer in random.choices(list(Answer), k=1024):
        match answer:
            case Answer.SILENT:
                book.said_nothing()
            case _:
                book.spoke()
                book.answered(key, answer)
        if random.random() < 0.1:
            book.hint(key, ready=random.random() < 0.5)
        assert book.ready(key) in (True, False, None)
        assert book.alive is not False or book.ready(key) is False
    book.spoke()
    for _ in range(3):
        book.answered(key, Answer.READY)
    assert book.ready(key) is True
    for _ in range(3):
        book.said_nothing()
    assert book.ready(key) is False


def test_u30_many_services_are_asked_for_in_turn_and_hints_speak_for_the_others() -> None:
    book = Book()
    keys = {("shop", f"s{n}"): 80 for n in range(ALL + 100)}
    for key in keys:
        book.hint(key, ready=True)
    assert book.ready(("shop", "s0")) is None, "nobody has answered yet"
    book.spoke()
    assert all(book.ready(key) for key in keys)
    asked = {key for _ in range(100) for key in book.turn(keys)}
    assert asked == keys.keys(), "everybody's turn comes"
    last = ("shop", f"s{ALL + 50}")
    assert book.hint(last, ready=False)
    assert book.ready(last) is False


def test_u30_a_gateway_that_hears_late_of_a_new_service_does_not_make_its_mirror_flap() -> None:
    book, key = Book(), ("shop", "new")
    book.spoke()
    book.hint(key, ready=True)
    assert not book.answered(key, Answer.EMPTY)
    assert book.ready(key) is True
    assert book.doubtful([key]) == [key], "it is asked for again at once"
    assert book.answered(key, Answer.EMPTY)
    assert book.ready(key) is False, "who goes on to say so is believed"


services = st.lists(st.sampled_from(["web", "api", "cart", "db"]), unique=True, max_size=4)


@given(services, services, st.integers(1, 6))
def test_a08_two_clusters_that_export_everything_to_each_other_never_mirror_mirrors(
    one: list[str], two: list[str], rounds: int
) -> None:
    """Tradeshift's selector, both ways: the number of mirrors is that of the other side's own Services, for ever."""
    ends = {"legacy": settled(*map(service, one)), "eks": settled(*map(service, two))}
    for _ in range(rounds):
        for near, far in (("legacy", "eks"), ("eks", "legacy")):
            link = Link(cluster=far, gateways=("10.0.0.1:1",), identity=WHO, exports=ALL_BUT_MIRRORS)
            remote = [item for item in ends[far].values() if link.exports.covers(item)]
            for change in plan(link, remote, Here(services=ends[near], namespaces=("shop",))):
                assert isinstance(change, Create)
                ends[near] |= settled(change.manifest)
    assert {name for _, name in ends["legacy"]} == {*one, *(f"{name}-eks" for name in two)}
    assert {name for _, name in ends["eks"]} == {*two, *(f"{name}-legacy" for name in one)}


policies = st.builds(
    Exports,
    everything=st.booleans(),
    include=st.sampled_from([(), ("*/*",), ("shop/*",)]),
    exclude=st.sampled_from([(), ("shop/w*",)]),
)


@given(policies, st.sampled_from([EXPORT, FLAT, {}]), st.sampled_from(["true", "false", ""]))
def test_a08_no_policy_exports_a_mirror(policy: Exports, label: dict[str, str], marked: str) -> None:
    assert not policy.covers(service("web-eks", labels=label | {names.MIRRORED: marked}))


@pytest.mark.parametrize(
    ("name", "space"), [("kubernetes", "default"), ("kube-dns", "kube-system"), ("landbridge-gateway", "landbridge")]
)
def test_a08_the_platforms_own_services_stay_at_home(name: str, space: str) -> None:
    """linkerd.md 1.15: the selector of the field exports these too."""
    assert not ALL_BUT_MIRRORS.covers(service(name, space))
    door = service("gw", annotations={"mirror.linkerd.io/multicluster-gateway": "true"})
    assert not ALL_BUT_MIRRORS.covers(door)
    assert not ALL_BUT_MIRRORS.covers(service("web-leaf", labels={names.LEAF_OF: "web"}))
    assert ALL_BUT_MIRRORS.covers(service("web"))


def test_a08_a_port_can_stay_at_home() -> None:
    ports = [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}]
    policy = Exports(exclude_ports={"shop/*": ("metrics",)})
    assert [port["port"] for port in policy.ports(service("web", ports=ports))] == [80]
    only = Exports(exclude_ports={"shop/web": ("80", "9090")})
    link = Link(cluster="eks", gateways=LINK.gateways, identity=WHO, exports=only)
    (skip,) = plan(link, [exported("web", ports=ports)], here())
    assert isinstance(skip, Skip)
    assert skip.reason == "it has no ports"


def test_a10_a_flip_to_a_backend_that_does_not_answer_is_refused() -> None:
    at = Weight(percent=0, version="1")
    limits = Limits()
    deaf = Health(ready=3, wanted=3, reachable=False)
    refusal = may_raise(expected=at, live=at, new=5, limits=limits, target=deaf, size=3, agrees=True)
    assert refusal is not None
    assert "not healthy as seen from outside" in str(refusal)


def test_a15_looking_again_at_2000_mirrors_writes_nothing() -> None:
    remote = [exported(f"svc-{n}", f"team-{n % 20}") for n in range(2000)]
    spaces = tuple(f"team-{n}" for n in range(20))
    made = [item.manifest for item in plan(LINK, remote, here(spaces=spaces)) if isinstance(item, Create)]
    assert len(made) == 2000
    assert plan(LINK, remote, here(*made, spaces=spaces)) == []


def test_a16_what_argo_and_helm_track_is_not_copied_and_a_list_of_ones_own_is_obeyed() -> None:
    notes = {"meta.helm.sh/release-name": "x", "argocd.argoproj.io/tracking-id": "x", "a.example/b": "1", "c": "1"}
    rules = MirrorRules(excluded_annotations=("a.example/*",))
    link = Link(cluster="eks", gateways=LINK.gateways, identity=WHO, rules=rules)
    found = wanted_mirror(exported("web", annotations=notes), link)["metadata"]["annotations"]
    assert {key for key in found if key in notes} == {"c"}


def test_a16_a_label_that_others_gave_a_mirror_stays_and_one_that_is_gone_there_goes() -> None:
    (made,) = plan(LINK, [exported("web", labels={"team": "x"})], here())
    assert isinstance(made, Create)
    live = json.loads(json.dumps(made.manifest))
    live["metadata"]["labels"]["field.example/other"] = "theirs"
    assert plan(LINK, [exported("web", labels={"team": "x"})], here(live)) == []
    (update,) = plan(LINK, [exported("web")], here(live))
    assert isinstance(update, Update)
    assert update.patch["metadata"]["labels"] == {"team": None}


def test_a19_a_users_service_with_a_mirrors_name_is_never_in_a_plan() -> None:
    users = service("web-eks", selector={"app": "twin"})
    (skip,) = plan(LINK, [exported("web")], here(users))
    assert isinstance(skip, Skip)
    assert plan(LINK, [], here(users)) == []
