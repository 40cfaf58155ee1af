"""migration.yaml: every mistake at once with its line, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landbridge.catalog import get_catalog
from landbridge.errors import DocumentError
from landbridge.model.service import Protocol, ServiceId
from landbridge.settings import load, parse, read, render_template
from landbridge.settings.migration import Cluster, Migration
from landbridge.settings.reference import PAGE, render_reference
from landbridge.settings.template import quote
from landbridge.settings.values import read_duration

ROOT = Path(__file__).parents[2]
ENDS = "source: {name: legacy, context: a}\ntarget: {name: eks, context: b}\nnamespaces: [shop]\n"


def mistakes(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        parse(text, catalog=get_catalog())
    return [str(mistake) for mistake in caught.value.mistakes]


def attempt(text: str) -> list[str] | None:
    """What is wrong with a text, or None; anything but a DocumentError goes through."""
    try:
        parse(text, catalog=get_catalog())
    except DocumentError as error:
        return [mistake.message for mistake in error.mistakes]
    return None


def test_the_least_file_is_enough() -> None:
    found = parse(ENDS)
    assert found.steps == (1, 5, 10, 25, 50, 75, 95, 100)
    assert found.dwell_of(ServiceId("shop", "web")) == 300


def test_a_service_may_differ() -> None:
    found = parse(ENDS + "services:\n  shop/web: {dwell: 1m30s, soak: 0, steps: [50, 100], protocols: {80: grpc}}\n")
    web = ServiceId("shop", "web")
    assert (found.dwell_of(web), found.soak_of(web), found.steps_of(web)) == (90, 0, (50, 100))
    assert found.service(web).protocols == {"80": Protocol.GRPC}


def test_all_mistakes_at_once_with_their_lines() -> None:
    said = mistakes(
        """\
source: {name: legacy, contxt: a}
target:
  name: EKS
  context: b
  context: c
namespaces: [shop]
dwel: 5m
dwell: 5x
steps: [5, 4]
router: trafficsplt
services:
  shop/web: {protocols: {80: htp}, retries: ful}
  web: {}
accepted:
  - {check: kiamm, reason: known, date: 2026-11-21}
"""
    )
    expected = (
        "migration.yaml:1: source.context: is missing",
        "migration.yaml:1: source.contxt: is not a setting; did you mean 'context'?",
        "migration.yaml:3: target.name: 'EKS' has to be lower-case letters, digits and '-', at most 63",
        "migration.yaml:5: target.context: the key is written twice, first in line 4",
        "migration.yaml:7: dwel: is not a setting; did you mean 'dwell'?",
        "migration.yaml:8: dwell: '5x' is not a duration such as 90s, 5m or 1h30m",
        "migration.yaml:9: steps: weights have to rise from step to step",
        "migration.yaml:10: router: there is no router 'trafficsplt'; did you mean 'trafficsplit'?",
        "migration.yaml:12: services.shop/web.protocols.80: 'htp' is not known; did you mean 'http'?",
        "migration.yaml:12: services.shop/web.retries: 'ful' is not known; did you mean 'full'?",
        "migration.yaml:13: services.web: 'web' is not namespace/name",
        "migration.yaml:15: accepted[0].check: there is no check 'kiamm'; did you mean 'kiam'?",
    )
    assert said == list(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the document is empty"),
        ("a: [1", "migration.yaml:1: this is not YAML"),
        ("a: b: c", "this is not YAML"),
        ("\tsource: x", "this is not YAML"),
        ("- 1\n- 2", "has to be a mapping"),
        ("&a [*a]", "an alias (*) that contains itself"),
        ("a: !!python/object:os.system x", "the tag tag:yaml.org,2002:python/object:os.system is not used here"),
        ("? [a, b]\n: 1", "a key has to be a word"),
        ("a: *nowhere", "this is not YAML"),
        ("a: 1\n---\nb: 2", "this is not YAML"),
        ("a: \x01", "this is not YAML"),
        ("[" * 3000, "nested too deeply"),
    ],
)
def test_wrong_yaml(text: str, said: str) -> None:
    assert any(said in one for one in mistakes(text)), mistakes(text)


def test_aliases_cannot_grow_without_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert any("too large" in one for one in mistakes("\n".join(lines)))


def test_source_and_target_differ() -> None:
    same = ENDS.replace("name: eks", "name: legacy")
    assert any("different names" in one for one in mistakes(same))


def test_no_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        load(tmp_path)
    assert "landbridge init" in caught.value.advice
    (tmp_path / "migration.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DocumentError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "migration.yaml").write_text(ENDS)
    assert load(tmp_path).source.name == "legacy"


def test_a_port_is_said_to_speak_what_a_waypoint_can_carry() -> None:
    text = template() + "\nservices: {shop/web: {protocols: {'80': grpc}}}\n"
    assert parse(text).service(ServiceId("shop", "web")).protocols == {"80": Protocol.GRPC}
    assert len(mistakes(text.replace("grpc}", "udp}"))) == 1


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), (7, 7), ("0.5s", 0.5), ("2d", 172800)])
def test_durations(text: str | int, seconds: float) -> None:
    assert read_duration(text) == seconds


def template() -> str:
    return render_template(
        source=Cluster(name="legacy", context="a: b#c"),
        target=Cluster(name="eks", context='arn:aws:eks:eu-west-1:1:cluster/"x"', kubeconfig="/home/me/.kube/c"),
        namespaces=["shop", "on"],
        services=[ServiceId("shop", "web")],
    )


def test_the_template_is_a_file_that_loads() -> None:
    found = parse(template(), catalog=get_catalog())
    assert found.source.context == "a: b#c"
    assert found.target.kubeconfig == "/home/me/.kube/c"
    assert found.namespaces == ("shop", "on")
    assert found == Migration(source=found.source, target=found.target, namespaces=found.namespaces)


def test_its_comments_are_settings_too() -> None:
    """Take the `#` away from every line that shows a setting: the file still loads, with the same values."""
    lines = []
    for line in template().splitlines():
        bare = line.removeprefix("# ")
        key = bare.strip().partition(":")[0]
        shows = line.startswith("# ") and ": " in bare + " " and (" " not in key and key) and not bare[0].isupper()
        lines.append(bare if shows or bare.startswith("  - {check") else line)
    found = parse("\n".join(lines), catalog=get_catalog())
    assert found.accepted[0].check == "single-replica"
    assert found.stores["postgres"].max_connections == 100
    assert found.steps == parse(ENDS).steps


def test_the_page_is_as_the_model_says() -> None:
    assert (ROOT / PAGE).read_text() == render_reference(), "render docs/migration-yaml.md again"
    example = render_reference().partition("```yaml\n")[2].partition("```")[0]
    assert parse(example, catalog=get_catalog()).services["shop/payments"].pools == {"postgres": 10}


words = st.sampled_from(["source", "target", "name", "context", "steps", "services", "shop/web", "accepted", "x", "1"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=120, deadline=None)
@given(st.text() | st.text(alphabet="{}[]:,&*!|>'\"-?# \n\tab1~%@`") | values.map(quote))
def test_random_text_is_never_a_traceback(text: str) -> None:
    outcome = attempt(text)
    assert outcome is None or (outcome and all(outcome))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([f.alias or n for n, f in Migration.model_fields.items()]), values))
def test_random_values_in_known_places_are_never_a_traceback(data: dict[str, object]) -> None:
    outcome = attempt(quote(data))
    assert outcome is None or (outcome and all(outcome))


plain = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text() | st.floats(-1e9, 1e9, allow_nan=False)


@settings(max_examples=120, deadline=None)
@given(st.lists(plain | st.dictionaries(st.text(min_size=1, max_size=6), plain, max_size=3), max_size=5))
def test_what_is_quoted_reads_back(data: list[object]) -> None:
    document = read(f"a: {quote(data)}", "x")
    assert document.mistakes == []
    assert document.data == {"a": data}


def test_words_of_yaml_1_1_are_words() -> None:
    assert read("country: no\nmode: 0755x\nx: 010", "x").data == {"country": "no", "mode": "0755x", "x": 10}


def test_a_shadow_is_off_until_asked_for_and_each_service_has_its_own() -> None:
    web, cart = ServiceId("shop", "web"), ServiceId("shop", "cart")
    assert parse(ENDS).shadow_of(web).percent == 0
    found = parse(ENDS + "shadow: {dwell: 2m}\nservices:\n  shop/web: {shadow: {percent: 0}}\n")
    assert (found.shadow_of(cart).percent, found.shadow_of(cart).dwell, found.shadow_of(web).percent) == (10, 120, 0)


def test_a_shadow_needs_waypoints_that_count_it() -> None:
    prometheus = "metrics: {provider: prometheus, source: {url: 'http://a'}, target: {url: 'http://b'}}\n"
    with pytest.raises(DocumentError) as caught:
        parse(ENDS + prometheus + "shadow: {}\n")
    assert any("only landbridge's waypoints copy" in str(mistake) for mistake in caught.value.mistakes)
    assert parse(ENDS + prometheus).shadow.percent == 0
