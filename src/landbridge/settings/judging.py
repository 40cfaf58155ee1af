"""The parts of migration.yaml that say what is watched while traffic moves, and what is asked of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from landbridge.settings.base import Settings
from landbridge.settings.values import Duration, read_duration


class Shadow(Settings):
    """Copies of safe requests (GET and HEAD) to the target before its first user; their answers are thrown away."""

    percent: int = Field(10, ge=0, le=100, description="percent of the safe requests that is copied; 0: none")
    dwell: Duration = Field(60.0, description="how long they are copied and judged")


class Prometheus(Settings):
    """The Prometheus that scrapes the callers in one cluster; one replica, not a pair behind one address."""

    url: str = Field(pattern=r"^https?://[^\s]+$", description="where its API is, as http://prometheus.legacy:9090")
    matchers: dict[str, str] = Field({}, description="labels that pick this cluster out of one that both share")
    token_file: str = Field("", description="file with a bearer token")
    ca_file: str = Field("", description="file with the certificates that may have signed its own")


class Metrics(Settings):
    """What counts the requests that the judge compares."""

    provider: str = Field("envoy", description="envoy: the waypoints' own counters; prometheus: those of a data plane")
    plane: str = Field("linkerd", description="whose series Prometheus has")
    source: Prometheus | None = Field(None, description="the source cluster's Prometheus")
    target: Prometheus | None = Field(None, description="the target cluster's Prometheus")
    every: Annotated[float, BeforeValidator(read_duration), Field(ge=1, le=300)] = Field(
        5, description="how often Prometheus is asked"
    )
    silence: Annotated[float, BeforeValidator(read_duration), Field(ge=5, le=3600)] = Field(
        90, description="so long without a new sample is no data: three scrape intervals at least"
    )
    strata: tuple[str, ...] = Field((), description="labels of callers that are judged apart, as [deployment]")

    @model_validator(mode="after")
    def _has_ends(self) -> Metrics:
        if self.provider == "prometheus" and not (self.source and self.target):
            raise ValueError("provider prometheus needs source and target, each with a url")
        return self


class Breach(StrEnum):
    """What a guard's breach does."""

    HOLD = "hold"
    ROLL_BACK = "rollBack"


class Guard(Settings):
    """A query with a bound, or an alert, that has to be well while services move."""

    query: str = Field("", description="PromQL; each value that it gives has to be within the bounds")
    min: float | None = Field(None, allow_inf_nan=False, description="smallest good value")
    max: float | None = Field(None, allow_inf_nan=False, description="largest good value")
    alert: str = Field("", description="name of an alert that must not fire")
    labels: dict[str, str] = Field({}, description="labels that the alert has to have")
    on: Literal["source", "target"] = Field("target", description="whose Prometheus is asked")
    services: tuple[str, ...] = Field(("*",), description="services that it holds, as namespace/name; * and ? match")
    every: Annotated[float, BeforeValidator(read_duration), Field(ge=1, le=3600)] = Field(
        15, description="how often it is asked"
    )
    breach: Breach = Field(Breach.HOLD, description="what happens to them; rollBack is outside the promise of alpha")

    @model_validator(mode="after")
    def _is_one_thing(self) -> Guard:
        if bool(self.query) == bool(self.alert):
            raise ValueError("a guard has either a query or an alert")
        if self.query and self.min is None and self.max is None:
            raise ValueError("a query needs min or max")
        if self.alert and (self.min is not None or self.max is not None):
            raise ValueError("an alert fires or not: it has no min or max")
        if self.query and self.labels:
            raise ValueError("labels are for alerts; a query has its own")
        return self


class Asked(Settings):
    """What is asked of a step beside no evidence against the target; docs/judge.md says what each costs."""

    slo: float | None = Field(None, gt=0, lt=1, description="highest share of bad requests over both sides; else hold")
    breach: Breach = Field(
        Breach.HOLD,
        description="rollBack: also take home whose target alone breaks the SLO, which is outside the promise of alpha",
    )
    must_see: float | None = Field(
        None, gt=1, description="a step is left when a target that fails so many times as often would have been seen"
    )
    pass_below: float | None = Field(
        None, gt=1, description="a step is left with evidence that the target fails less than so many times as often"
    )

    @model_validator(mode="after")
    def _has_slo(self) -> Asked:
        if self.breach is Breach.ROLL_BACK and self.slo is None:
            raise ValueError("breach is of the SLO: it needs slo")
        return self
