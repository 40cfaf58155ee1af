"""One Prometheus, or anything that speaks its HTTP API (Thanos, Mimir, Amazon's): samples as scraped, values, alerts.

`samples` asks for a range of raw samples, so that each has the moment of its scrape: `increase()` would extrapolate
over resets, gaps and ends, and a judge may only count what was counted.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from pathlib import Path
from typing import Any

from landbridge.clients.http import Http, NoAnswerError, Question
from landbridge.errors import AccessError

TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Series:
    """One time series: its labels, and (milliseconds since the epoch, value) of each sample, oldest first."""

    labels: Mapping[str, str]
    samples: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Series, and the server's own time in seconds if it told it (whole seconds)."""

    series: tuple[Series, ...]
    server: float | None


class Prometheus:
    """Reads only. Every failure is an AccessError that names the address and what to look at."""

    def __init__(self, url: str, *, token_file: str = "", ca_file: str = "") -> None:
        self.url = url.rstrip("/")
        self._token_file = token_file
        self._ca_file = ca_file
        self._http = Http()
        self._tls: ssl.SSLContext | None = None

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def samples(self, selector: str, seconds: float) -> Answer:
        """All samples of the last `seconds` of the series that a selector names."""
        data, server = await self._ask("query", {"query": f"{selector}[{max(1, round(seconds))}s]"})
        try:
            return Answer(tuple(_series(row["metric"], row["values"]) for row in self._rows(data, "matrix")), server)
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None

    async def values(self, query: str) -> list[float]:
        """What a query says now: one value for each series, or the one of a number; none where there is no data."""
        data, _ = await self._ask("query", {"query": query})
        try:
            if data["resultType"] == "scalar":
                return [float(data["result"][1])]
            return [float(row["value"][1]) for row in self._rows(data, "vector")]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None

    async def alert(self, name: str, labels: Mapping[str, str]) -> bool | None:
        """Whether an alert with these labels is firing; None when the server has no alert of this name."""
        data, _ = await self._ask("rules", {"type": "alert"})
        try:
            rules = [rule for group in data["groups"] for rule in group["rules"] if rule["name"] == name]
            alerts = [alert for rule in rules for alert in rule.get("alerts") or ()]
            firing = [a for a in alerts if a["state"] == "firing" and labels.items() <= a["labels"].items()]
        except (KeyError, TypeError, AttributeError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None
        return bool(firing) if rules else None

    async def _ask(self, path: str, fields: Mapping[str, str]) -> tuple[Any, float | None]:
        """The `data` of an answer; queries go as a form, for a thousand services make a long selector."""
        asks = path == "query"
        question = Question(
            method="POST" if asks else "GET",
            url=f"{self.url}/api/v1/{path}",
            params=None if asks else fields,
            content=fields if asks else None,
            headers=self._headers(),
            seconds=TIMEOUT,
            tls=self._trusted(),
        )
        try:
            answer = await self._http.ask(question)
        except NoAnswerError as error:
            raise self._failed(str(error)) from None
        try:
            body = answer.json()
            if answer.status == 200 and body["status"] == "success":
                return body["data"], _date(answer.headers.get("date", ""))
            said = str(body.get("error") or body["status"])
        except (ValueError, KeyError, TypeError, AttributeError):
            said = answer.text[:200].strip()
        raise self._failed(f"{answer.status} {said}")

    def _trusted(self) -> ssl.SSLContext | None:
        """Whom to believe, where it is not those whom everybody believes; read once."""
        if self._ca_file and self._tls is None:
            try:
                self._tls = ssl.create_default_context(cafile=self._ca_file)
            except (OSError, ssl.SSLError) as error:
                raise self._failed(f"{self._ca_file}: {error}") from None
        return self._tls

    def _headers(self) -> dict[str, str]:
        """The token is read anew each time: those of a service account are replaced on the disk."""
        if not self._token_file:
            return {}
        try:
            return {"Authorization": f"Bearer {Path(self._token_file).read_text(encoding='utf-8').strip()}"}
        except (OSError, UnicodeDecodeError) as error:
            raise self._failed(f"{self._token_file}: {error}") from None

    def _rows(self, data: Any, kind: str) -> list[Any]:
        if not isinstance(data, dict) or data.get("resultType") != kind:
            raise self._strange(f"not a {kind}")
        return list(data["result"])

    def _failed(self, why: str) -> AccessError:
        return AccessError(
            f"Prometheus does not answer: {why}",
            where=self.url,
            advice="check metrics.source and metrics.target in migration.yaml",
        )

    def _strange(self, why: str) -> AccessError:
        return AccessError(
            f"Prometheus answers what is not its API: {why}", where=self.url, advice="check the url in migration.yaml"
        )


def _series(labels: Mapping[str, str], values: list[Any]) -> Series:
    pairs = ((round(float(at) * 1000), float(value)) for at, value in values)
    return Series(dict(labels), tuple((at, value) for at, value in pairs if isfinite(value)))


def _date(text: str) -> float | None:
    with suppress(ValueError, TypeError):
        found: datetime = parsedate_to_datetime(text)
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    return None
