"""Plans: stable, within limits, in an order that keeps callers served, and the same after a round trip."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landbridge.assess import Facts, assess
from landbridge.connect.manifests import waypoint
from landbridge.connect.options import Options
from landbridge.errors import BlockedError, DocumentError
from landbridge.judge import power
from landbridge.lab.shop.objects import manifests
from landbridge.model.catalog import Catalog
from landbridge.model.inventory import Inventory
from landbridge.model.plan import Act, ActKind, Plan
from landbridge.model.service import Limits, Manifest, ServiceId
from landbridge.plan import diff, dump, load, make
from landbridge.plan.forecast import rarely
from landbridge.plan.order import components
from tests.assess.world import container, cronjob, deployment, healthy, inventory, migration, service, thing

CATALOG = Catalog(routers={"trafficsplit": Limits(), "coarse": Limits(max_percent=50, step=5)})


def calls(*names: str) -> Manifest:
    return container(env=[{"name": f"{name.upper()}_URL", "value": f"http://{name}"} for name in names])


def plan_of(objects: list[Manifest], **changed: object) -> Plan:
    facts = Facts(inventory(objects), migration(**changed))
    return make(facts, assess(facts), CATALOG)


def shop() -> list[Manifest]:
    return manifests("shop", image="shop:1", postgres="10.0.0.1", redis="10.0.0.1", password="x")


def kinds(plan: Plan, name: str) -> list[tuple[str, str]]:
    """(wave, id without the service) of one service's acts."""
    return [
        (wave.name, act.id.removeprefix(f"{entry.service}/"))
        for wave in plan.waves
        for entry in wave.services
        for act in entry.acts
        if str(entry.service) == name
    ]


def wave_of(plan: Plan, name: str) -> str:
    return next(wave for wave, act in kinds(plan, name) if act.startswith("weight-"))


def test_one_service() -> None:
    plan = plan_of(healthy(), steps=(50, 95, 100))
    assert kinds(plan, "shop/web") == [
        ("join", "adopt-source"),
        ("join", "adopt-target"),
        ("join", "split"),
        ("wave-1", "copy"),
        ("wave-1", "ready"),
        ("wave-1", "weight-50"),
        ("wave-1", "weight-95"),
        ("wave-1", "weight-100"),
        ("wave-1", "finish"),
        ("wave-1", "soak"),
        ("leave", "scale-source"),
        ("leave", "unadopt-target"),
    ]
    assert kinds(plan, "shop/*") == [("ground", "copy")]


def test_waypoints_that_keep_policies_are_told_what_pods_policies_will_see() -> None:
    """waypoint.md 4: on the target none of them runs yet, and on the source none in the end."""
    ports = [{"name": "web", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]
    objects = [thing("Namespace", "shop", ""), deployment("web", container(ports=ports)), service("web")]
    plan = plan_of(objects, data_plane={"policies": "enforce"})
    told = [act.args for act in adoptions(plan)]
    wanted = {"policies": "enforce", "pods": [{"labels": {"app": "web"}, "ports": {"web": 8080}}]}
    assert told == [{"side": side, **wanted} for side in ("source", "target")]
    assert load(dump(plan)) == plan
    with pytest.raises(DocumentError) as refused:
        load(dump(plan).replace("web: 8080", "web: true"))
    assert all("pods has to be a list" in mistake.message for mistake in refused.value.mistakes)
    assert not any(act.args.keys() & wanted.keys() for act in adoptions(plan_of(objects)))


def adoptions(plan: Plan) -> list[Act]:
    every = [act for wave in plan.waves for entry in wave.services for act in entry.acts]
    return [act for act in every if act.kind is ActKind.ADOPT]


def test_the_shop() -> None:
    plan = plan_of(shop(), services={"shop/orders": {"after": ["shop/stock"], "requestRate": 50}})
    assert [wave.name for wave in plan.waves] == ["ground", "join", "wave-1", "wave-2", "leave"]
    assert wave_of(plan, "shop/stock") < wave_of(plan, "shop/orders")
    assert ("wave-1", "pin") in kinds(plan, "shop/catalog")
    assert ("leave", "handover-report") in kinds(plan, "shop/*")
    copied = next(
        act for wave in plan.waves for entry in wave.services for act in entry.acts if act.id == "shop/*/copy"
    )
    assert copied.args["objects"][0] == "v1 Namespace - shop"
    assert "v1 Secret shop shop-database" in copied.args["objects"]
    assert not any(" Deployment " in text or " Service " in text for text in copied.args["objects"])


def test_every_service_is_joined_before_anything_gets_traffic() -> None:
    plan = plan_of(shop())
    names = [wave.name for wave in plan.waves]
    for number, wave in enumerate(plan.waves):
        for entry in wave.services:
            for act in entry.acts:
                if act.kind in {ActKind.WEIGHT, ActKind.READY}:
                    assert number > names.index("join")
                if act.kind in {ActKind.ADOPT, ActKind.SPLIT}:
                    assert number == names.index("join")


def test_callees_move_first() -> None:
    objects = [
        thing("Namespace", "shop", ""),
        *(deployment(name, calls(*to)) for name, to in (("web", ["cart"]), ("cart", ["stock"]), ("stock", []))),
        *(service(name) for name in ("web", "cart", "stock")),
    ]
    plan = plan_of(objects)
    assert [wave_of(plan, f"shop/{name}") for name in ("stock", "cart", "web")] == ["wave-1", "wave-2", "wave-3"]


def test_a_circle_moves_together() -> None:
    objects = healthy(
        deployment("a", calls("b")), service("a"), deployment("b", calls("a")), service("b"),
        deployment("c", calls("a")), service("c"),
    )  # fmt: skip
    plan = plan_of(objects)
    assert wave_of(plan, "shop/a") == wave_of(plan, "shop/b") == "wave-1"
    assert wave_of(plan, "shop/c") == "wave-2"


def test_a_shared_config_map_makes_no_circle_of_those_who_say_more() -> None:
    shared = thing("ConfigMap", "all", data={"A_URL": "http://a", "B_URL": "http://b"})
    uses = {"envFrom": [{"configMapRef": {"name": "all"}}]}
    objects = healthy(
        shared, deployment("a", {**calls("b"), **uses}), service("a"), deployment("b", container(**uses)), service("b")
    )  # fmt: skip
    plan = plan_of(objects)
    assert (wave_of(plan, "shop/b"), wave_of(plan, "shop/a")) == ("wave-1", "wave-2")


def test_services_of_one_workload_move_together_and_copy_once() -> None:
    plan = plan_of(healthy(service("web-metrics", selector={"app": "web"})))
    assert ("wave-1", "copy") in kinds(plan, "shop/web")
    assert ("wave-1", "copy") not in kinds(plan, "shop/web-metrics")
    leave = next(wave for wave in plan.waves if wave.name == "leave")
    scale = [act for entry in leave.services for act in entry.acts if act.kind is ActKind.SCALE]
    assert [act.args["services"] for act in scale] == [["shop/web", "shop/web-metrics"]]
    assert [entry.after for entry in leave.services] == [(), (ServiceId("shop", "web"),)]


def test_workers_stop_before_they_start_unless_they_may_run_twice() -> None:
    objects = healthy(deployment("mailer"), deployment("indexer"))
    plan = plan_of(objects, workers={"shop/indexer": {"idempotent": True}})
    ids = [name for wave, name in kinds(plan, "shop/*") if wave == "leave"]
    assert ids == ["start-indexer", "ready-indexer", "stop-indexer", "stop-mailer", "start-mailer", "ready-mailer"]
    ground = [act for wave in plan.waves for entry in wave.services for act in entry.acts if "/copy-" in act.id]
    assert [act.args["replicas"] for act in ground] == [0, 0]


def test_what_is_skipped_is_joined_but_does_not_move() -> None:
    plan = plan_of(healthy(deployment("api"), service("api")), services={"shop/api": {"skip": True}})
    assert {wave for wave, _ in kinds(plan, "shop/api")} == {"join"}
    assert "shop api" not in dump(plan)


def test_schedules_that_stay() -> None:
    plan = plan_of(healthy(cronjob("night")), workers={"shop/night": {"skip": True}})
    assert "night" not in dump(plan)


def test_excluded_objects_stay() -> None:
    objects = healthy(thing("ConfigMap", "flags"), thing("ConfigMap", "other"))
    text = dump(plan_of(objects, copy={"exclude": ["ConfigMap shop/fl*"]}))
    assert "v1 ConfigMap shop other" in text
    assert "flags" not in text


def test_cluster_roles_come_with_their_accounts() -> None:
    binding = thing(
        "ClusterRoleBinding",
        "shop-reads",
        "",
        roleRef={"kind": "ClusterRole", "name": "reads"},
        subjects=[{"kind": "ServiceAccount", "name": "web", "namespace": "shop"}],
    )
    other = thing("ClusterRoleBinding", "other", "", roleRef={"name": "admin"}, subjects=[{"kind": "User"}])
    text = dump(plan_of(healthy(binding, other, thing("ClusterRole", "reads", ""), thing("ClusterRole", "more", ""))))
    assert "ClusterRoleBinding - shop-reads" in text
    assert "ClusterRole - reads" in text
    assert "other" not in text
    assert "ClusterRole - more" not in text


def test_blockers_stop_the_plan_until_they_are_accepted() -> None:
    objects = healthy(deployment("db", pod={"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "d"}}]}))
    with pytest.raises(BlockedError, match="Deployment shop/db keeps data"):
        plan_of(objects)
    accepted = [{"check": "volume-claims", "reason": "only a cache", "date": "2026-11-21"}]
    assert plan_of(objects, accepted=accepted).waves


def test_steps_that_the_router_cannot_take_are_named() -> None:
    with pytest.raises(DocumentError) as caught:
        plan_of(healthy(), router="coarse")
    assert any("outside 0..50" in str(mistake) for mistake in caught.value.mistakes)


def test_approvals_name_waves() -> None:
    plan = plan_of(healthy(), approve=["leave"])
    assert [wave.name for wave in plan.waves if wave.approval] == ["leave"]
    with pytest.raises(DocumentError, match="waves that do not exist"):
        plan_of(healthy(), approve=["wave-9"])


def test_windows_name_waves_and_stand_in_the_plan() -> None:
    plan = plan_of(healthy(), windows={"wave-1": "Mon-Thu 09:00-16:00"})
    assert {wave.name: wave.window for wave in plan.waves if wave.window} == {"wave-1": "Mon-Thu 09:00-16:00"}
    assert load(dump(plan)) == plan
    with pytest.raises(DocumentError) as caught:
        plan_of(healthy(), windows={"wave-9": "09:00-16:00"}, approve=["wave-8"])
    assert [mistake.path for mistake in caught.value.mistakes] == ["approve", "windows"]


def test_a_window_that_is_none_is_a_mistake_with_its_line() -> None:
    text = dump(plan_of(healthy(), windows={"wave-1": "09:00-16:00"})).replace('"09:00-16:00"', "nine to four")
    with pytest.raises(DocumentError) as caught:
        load(text)
    (mistake,) = caught.value.mistakes
    assert "'nine to four' has to be like" in mistake.message
    assert mistake.line == 1 + next(n for n, line in enumerate(text.splitlines()) if "nine to four" in line)


def test_the_plan_says_how_the_judge_counts_and_what_that_costs() -> None:
    for how in ("cap", "request"):
        said, bound = [line for line in dump(plan_of(healthy(), bursts=how)).splitlines() if "bursts" in line]
        assert said.startswith(f"# The judge counts failures with bursts: {how} (")
        assert "docs/judge.md" in said
        assert bound == f"  bursts: {how}"


def test_bunches_cut_where_looks_are_far_apart_are_told() -> None:
    assert "one failure a scrape" in rarely("prometheus", "cap")
    assert rarely("prometheus", "request") == rarely("envoy", "cap") == ""


def test_forecasts_stand_beside_the_steps() -> None:
    text = dump(plan_of(healthy(), services={"shop/web": {"requestRate": 200}}))
    assert "60,000 requests, 600 of them on the target: sees" in text
    assert "sees ten times the errors after about" in dump(plan_of(healthy()))


def weights_of(plan: Plan) -> dict[int, Act]:
    acts = [act for wave in plan.waves for entry in wave.services for act in entry.acts]
    return {act.args["percent"]: act for act in acts if act.kind is ActKind.WEIGHT}


def test_steps_are_stretched_until_they_see_ten_times_the_errors_where_the_rate_is_known() -> None:
    found = weights_of(plan_of(healthy(), services={"shop/web": {"requestRate": 100}}))
    assert found[1].args["dwell"] == pytest.approx(power.dwell(100, 0.01, 10.0), abs=1.0)
    assert "stretched from 300 s" in found[1].note
    assert "sees 10.0 times the errors" in found[1].note
    assert found[25].args["dwell"] == found[100].args["dwell"] == 300
    given: list[dict[str, object]] = [{}, {"maxDwell": 0, "services": {"shop/web": {"requestRate": 100}}}]
    for changed in given:
        assert {act.args["dwell"] for act in weights_of(plan_of(healthy(), **changed)).values()} == {300}


def test_a_shadow_comes_before_the_first_weight_where_one_is_asked_for() -> None:
    assert not [act for _, act in kinds(plan_of(healthy()), "shop/web") if act == "shadow"], "off unless asked for"
    plan = plan_of(healthy(), steps=(50, 100), shadow={"percent": 20, "dwell": "2m"})
    names = [act for _, act in kinds(plan, "shop/web")]
    assert names.index("shadow") == names.index("weight-50") - 1
    (act,) = [a for w in plan.waves for e in w.services for a in e.acts if a.kind is ActKind.SHADOW]
    assert (act.args, act.guards) == ({"percent": 20, "dwell": 120.0}, ("raise", "drift", "silence", "alpha"))
    assert act.note.startswith("nothing of it is seen by users; sees ten times the errors after about")
    assert load(dump(plan)) == plan
    rated = {"shop/web": {"requestRate": 200, "shadow": {"percent": 10}}}
    text = dump(plan_of(healthy(), services=rated))
    assert "users; 1,200 copies if all 12,000 requests are GET or HEAD: sees" in text
    mine = {"shop/web": {"shadow": {"percent": 0}}}
    assert plan_of(healthy(), shadow={"percent": 20}, services=mine) == plan_of(healthy(), services=mine)


def test_the_service_that_selects_trusted_callers_is_none_to_move() -> None:
    """`connect` makes it in every namespace that moves; it is headless, which would be a blocker."""
    found = [item for item in waypoint("legacy", "shop", Options(namespaces=("shop",))) if item["kind"] == "Service"]
    assert [item["metadata"]["name"] for item in found] == ["landbridge-trusted"]
    assert plan_of([*healthy(), *found]) == plan_of(healthy())


def test_a_router_without_a_shadow_is_named() -> None:
    with pytest.raises(DocumentError) as caught:
        plan_of(healthy(), router="trafficsplit", shadow={})
    assert any("trafficsplit cannot copy requests" in str(mistake) for mistake in caught.value.mistakes)


def test_a_service_that_is_too_quiet_is_named_with_what_to_do() -> None:
    plan = plan_of(healthy(), services={"shop/web": {"requestRate": 0.02}})
    found = weights_of(plan)
    assert found[1].args["dwell"] == 3600
    assert "cannot decide here: bake at one share for days, or send synthetic load" in found[1].note
    assert "sees only ratios above" in found[25].note
    told = "# 1 service is too quiet for some steps (cannot decide here): shop/web. What helps: load of your own"
    assert told in dump(plan)
    assert "too quiet" not in dump(plan_of(healthy(), services={"shop/web": {"requestRate": 200}}))


graphs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20)


def of_graph(edges: list[tuple[int, int]]) -> list[Manifest]:
    names = [f"s{n}" for n in range(8)]
    to = {name: [names[b] for a, b in edges if names[a] == name and a != b] for name in names}
    objects = [thing("Namespace", "shop", ""), thing("ConfigMap", "c"), deployment("lone"), cronjob("night")]
    return [*objects, *(deployment(name, calls(*to[name])) for name in names), *(service(name) for name in names)]


@settings(max_examples=60, deadline=None)
@given(graphs, st.randoms(use_true_random=False))
def test_plans_do_not_depend_on_the_order_of_anything(edges: list[tuple[int, int]], random: object) -> None:
    objects = of_graph(edges)
    first = plan_of(objects)
    random.shuffle(objects)  # type: ignore[attr-defined]
    world, chosen = inventory(objects), migration()
    mixed = list(world.source.objects)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    services, workloads, shuffled = list(world.services), list(world.workloads), list(world.edges)
    for part in (services, workloads, shuffled):
        random.shuffle(part)  # type: ignore[attr-defined]
    other: Inventory = replace(
        world,
        source=replace(world.source, objects=tuple(mixed)),
        services=tuple(services),
        workloads=tuple(workloads),
        edges=tuple(shuffled),
    )
    facts = Facts(other, chosen)
    again = make(facts, assess(facts), CATALOG)
    assert dump(again) == dump(first)
    assert diff(first, again) == ()


@settings(max_examples=60, deadline=None)
@given(graphs, st.sets(st.integers(1, 99), min_size=1, max_size=6))
def test_plans_read_back_and_keep_their_bounds(edges: list[tuple[int, int]], steps: set[int]) -> None:
    plan = plan_of(of_graph(edges), steps=(*sorted(steps), 100))
    assert load(dump(plan)) == plan
    acts = [act for wave in plan.waves for entry in wave.services for act in entry.acts]
    assert len({act.id for act in acts}) == len(acts)
    for wave in plan.waves:
        for entry in wave.services:
            weights = [act.args["percent"] for act in entry.acts if act.kind is ActKind.WEIGHT]
            assert weights == sorted(weights)
            assert all(0 < weight <= Limits().max_percent for weight in weights)


@settings(max_examples=60, deadline=None)
@given(graphs)
def test_callees_are_never_later_than_their_callers(edges: list[tuple[int, int]]) -> None:
    plan = plan_of(of_graph(edges))
    graph = {ServiceId("shop", f"s{n}"): {ServiceId("shop", f"s{b}") for a, b in edges if a == n} for n in range(8)}
    circle = components(graph)
    for caller, callees in graph.items():
        for callee in callees:
            early, late = wave_of(plan, str(callee)), wave_of(plan, str(caller))
            assert early == late if circle[caller] == circle[callee] else early < late


def edited(text: str, old: str, new: str) -> list[str]:
    assert old in text
    with pytest.raises(DocumentError) as caught:
        load(text.replace(old, new, 1))
    return [str(mistake) for mistake in caught.value.mistakes]


def test_mistakes_of_an_edited_plan_have_lines() -> None:
    text = dump(plan_of(healthy(), steps=(50, 100)))
    line = next(n for n, one in enumerate(text.splitlines(), 1) if "percent: 50" in one)
    assert edited(text, "percent: 50", "percent: 150") == [
        f"plan.yaml:{line}: waves[2].services[0].acts[2].args: percent has to be a whole number from 0 to 100"
    ]
    assert "did you mean 'weight'" in edited(text, "kind: weight", "kind: wieght")[0]
    assert "stands in line" in edited(text, "shop/web/weight-100", "shop/web/weight-50")[0]
    assert "side has to be source or target" in edited(text, "side: target", "side: left")[0]
    said = "{side: source, protocols: {'80': quic}}"
    assert "protocols has to map ports to http, grpc, tcp" in edited(text, "{side: source}", said)[0]


def test_an_edited_plan_is_obeyed() -> None:
    plan = plan_of(healthy(), steps=(50, 100))
    other = load(dump(plan).replace("percent: 50, dwell: 300", "percent: 40, dwell: 5"))
    assert [str(change) for change in diff(plan, other)] == [
        "~ shop/web/weight-50: dwell 300.0 is now 5, percent 50 is now 40"
    ]


def test_diff_says_what_changed() -> None:
    old = plan_of(healthy(), steps=(50, 100))
    new = plan_of(
        healthy(deployment("api"), service("api"), thing("ConfigMap", "c")), steps=(25, 100), alpha=0.05,
        services={"shop/web": {"after": ["shop/api"]}},
    )  # fmt: skip
    said = [str(change) for change in diff(old, new)]
    assert "~ bounds.alpha: 0.01 is now 0.05" in said
    assert "~ shop/*/copy: objects +v1 ConfigMap shop c" in said
    assert "+ shop/api/copy: copy in wave-1" in said
    assert "> shop/web/copy: from wave-1 to wave-2" in said
    assert "- shop/web/weight-50: was in wave-1" in said
    assert "+ shop/web/weight-25: weight in wave-2" in said


def test_settings_of_the_run_are_in_its_bounds() -> None:
    plan = plan_of(healthy(), lease={"onExpiry": "stay"}, services={"shop/web": {"retries": "full"}})
    assert (plan.bounds.on_expiry, plan.bounds.full_retry) == ("stay", ("shop/web",))


def test_what_is_asked_of_a_step_is_in_the_plan_and_nothing_is_said_of_what_is_not() -> None:
    asked = {"slo": 0.01, "breach": "rollBack", "must_see": 10, "pass_below": 2}
    plan = plan_of(healthy(), judge=asked)
    bounds = plan.bounds
    assert (bounds.slo, bounds.slo_rolls_back, bounds.must_see, bounds.pass_below) == (0.01, True, 10, 2)
    assert load(dump(plan)) == plan
    for line in ("  slo: 0.01", "  sloRollsBack: true", "  mustSee: 10", "  passBelow: 2"):
        assert line in dump(plan).splitlines()
        assert line.partition(":")[0] not in dump(plan_of(healthy()))
