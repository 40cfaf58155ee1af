"""metrics and guards in migration.yaml: what is given, and what is wrong with it."""

from __future__ import annotations

import pytest

from landbridge.settings import parse
from landbridge.settings.judging import Breach
from tests.settings.test_settings import ENDS, mistakes

METRICS = """\
metrics:
  provider: prometheus
  plane: istio
  source: {url: "http://prometheus.legacy:9090", matchers: {cluster: legacy}}
  target: {url: "https://prometheus.eks", tokenFile: /run/token}
  silence: 2m
"""


def test_the_waypoints_count_unless_a_prometheus_is_named() -> None:
    assert parse(ENDS).metrics.provider == "envoy"
    found = parse(ENDS + METRICS).metrics
    assert (found.provider, found.plane, found.silence) == ("prometheus", "istio", 120)
    assert found.source is not None
    assert found.source.matchers == {"cluster": "legacy"}


def test_guards_hold_everything_unless_they_name_services_and_roll_nothing_back_unless_asked() -> None:
    guards = parse(
        ENDS + METRICS + "guards:\n  orders: {query: sum(orders), min: 2}\n"
        '  age: {alert: QueueAge, labels: {team: shop}, on: source, services: ["shop/*"], breach: rollBack}\n'
    ).guards
    assert (guards["orders"].services, guards["orders"].breach) == (("*",), Breach.HOLD)
    assert (guards["age"].on, guards["age"].breach) == ("source", Breach.ROLL_BACK)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics: {provider: promtheus}", "there is no metrics provider 'promtheus'; did you mean 'prometheus'?"),
        ("metrics: {plane: istoi}", "there is no data plane 'istoi'; did you mean 'istio'?"),
        ("metrics: {provider: prometheus}", "needs source and target, each with a url"),
        ("metrics: {source: {url: prometheus:9090}}", "metrics.source.url"),
        ("metrics: {silence: 1s}", "metrics.silence"),
        ("guards: {a: {query: up, max: 1}}", "guard a asks the target's Prometheus: metrics.target needs its url"),
        (METRICS + "guards: {a: {query: up}}", "a query needs min or max"),
        (METRICS + "guards: {a: {}}", "a guard has either a query or an alert"),
        (METRICS + "guards: {a: {query: up, alert: B, max: 1}}", "a guard has either a query or an alert"),
        (METRICS + "guards: {a: {alert: B, max: 1}}", "an alert fires or not"),
        (METRICS + "guards: {a: {query: up, max: 1, labels: {x: y}}}", "labels are for alerts"),
        (METRICS + "guards: {a: {query: up, max: .nan}}", "guards.a.max"),
        (METRICS + "guards: {a: {query: up, max: 1, breach: roll}}", "did you mean 'rollBack'?"),
        (METRICS + "guards: {A B: {query: up, max: 1}}", "has to be lower-case letters"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    assert any(said in one for one in mistakes(ENDS + text)), mistakes(ENDS + text)
