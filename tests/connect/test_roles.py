"""The rights of our own parts: as documented, no wider than said, and Secrets never by list."""

from __future__ import annotations

import re
from pathlib import Path

from landbridge.connect import names, roles
from landbridge.connect.options import Options
from landbridge.model.service import Manifest

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"
OTHER = "other cluster"
OPTIONS = Options(namespaces=("shop", "stock"))


def grants(manifests: list[Manifest]) -> set[tuple[str, str, str]]:
    """(where, verbs, resource with names) of all roles."""
    found = set()
    for manifest in manifests:
        if manifest["kind"] not in {"Role", "ClusterRole"}:
            continue
        where = manifest["metadata"].get("namespace", "cluster")
        for rule in manifest["rules"]:
            [group], [resource] = rule["apiGroups"], rule["resources"]
            named = f" ({', '.join(rule['resourceNames'])})" if "resourceNames" in rule else ""
            found.add((where, ", ".join(rule["verbs"]), f"{resource}{'.' if group else ''}{group}{named}"))
    return found


def documented(account: str, number: int = 1) -> set[tuple[str, str, str]]:
    """The same from the page's table of one account, or its second one."""
    section = PAGE.read_text().split(f"### `{account}`")[number].split("\n#")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| .+ \|$", section, re.MULTILINE)
    return {(where, may, on.replace(f"<{OTHER}>", OTHER)) for where, may, on in rows if where != "where"}


def test_the_page_says_what_a_waypoint_may() -> None:
    places = {"shop": "its namespace", "landbridge": "`landbridge`"}
    found = {(places[where], may, on) for where, may, on in grants(roles.for_waypoint("shop"))}
    assert found == documented(names.WAYPOINT)


def test_the_page_says_what_more_a_waypoint_may_that_keeps_policies() -> None:
    places = {"shop": "its namespace", "landbridge": "`landbridge`", "cluster": "cluster"}
    plain, wide = grants(roles.for_waypoint("shop")), grants(roles.for_waypoint("shop", enforce=True))
    assert plain < wide
    assert {(places[where], may, on) for where, may, on in wide - plain} == documented(names.WAYPOINT, 2)


def test_the_page_says_what_a_gateway_may() -> None:
    each = "each namespace that moves"
    places = {"shop": each, "stock": each, "landbridge": "`landbridge`", "cluster": "cluster"}
    found = {(places[where], may, on) for where, may, on in grants(roles.for_gateway(OTHER, OPTIONS))}
    assert found == documented(names.GATEWAY)


def test_the_page_says_what_the_other_cluster_may() -> None:
    assert grants(roles.for_link()) == documented(names.LINK)


def test_no_wildcards_no_secrets_by_list_no_workloads() -> None:
    rules = [
        rule
        for manifest in [
            *roles.for_waypoint("shop", enforce=True),
            *roles.for_gateway(OTHER, OPTIONS),
            *roles.for_link(),
        ]
        for rule in manifest.get("rules", ())
    ]
    assert rules
    for rule in rules:
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert "apps" not in rule["apiGroups"]
        if rule["resources"] == ["secrets"]:
            assert rule["resourceNames"]
            assert not {"list", "watch", "create", "delete"} & set(rule["verbs"])


def test_writing_in_the_cluster_as_a_whole_is_nobodys_right() -> None:
    for manifest in [*roles.for_waypoint("shop", enforce=True), *roles.for_gateway(OTHER, OPTIONS), *roles.for_link()]:
        if manifest["kind"] == "ClusterRole":
            assert all(set(rule["verbs"]) <= {"get", "list", "watch"} for rule in manifest["rules"])


def test_every_role_is_bound_to_the_account_it_is_for() -> None:
    made = [*roles.for_waypoint("shop", enforce=True), *roles.for_gateway(OTHER, OPTIONS), *roles.for_link()]
    bound = {(item["metadata"].get("namespace", ""), item["roleRef"]["name"]) for item in made if "roleRef" in item}
    granted = {(item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in made if "rules" in item}
    assert bound == granted
