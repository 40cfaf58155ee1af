"""The callers of a large demo: several generators a cluster, begun and ended one by one; only their counts count."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landbridge.clients.kinds import POD
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, wait_for
from landbridge.lab.landscape.program import callers
from landbridge.lab.load.pods import get_manifests
from landbridge.lab.load.tally import add_up
from landbridge.lab.load.target import Target

NAMESPACE = "callers"
LONGEST = 3600.0  # a generator ends by itself after so many seconds, whatever became of the demo


@dataclass(frozen=True, slots=True)
class Calling:
    """One generator."""

    k8s: Kubernetes
    name: str
    file: Path


@dataclass(slots=True)
class Crowd:
    """The generators of both clusters; results are files of JSON lines on the nodes, which are this machine."""

    results: Path
    image: str
    clock: Clock
    now: dict[str, Calling] = field(default_factory=dict)
    over: list[Calling] = field(default_factory=list)

    async def start(self, k8s: Kubernetes, name: str, targets: Sequence[Target], *, plain: bool = True) -> None:
        """Start calling in one cluster and wait for answers; `plain` is HTTP alone, which the small program asks."""
        folder = self.results / k8s.name
        folder.mkdir(parents=True, exist_ok=True)
        places = {"results": folder, "name": name, "namespace": NAMESPACE, "seconds": LONGEST}
        made = callers(targets, **places) if plain else get_manifests(targets, image=self.image, **places)  # type: ignore[arg-type]
        for manifest in made:
            await k8s.apply(manifest, manager="callers")
        calling = self.now[f"{k8s.name}/{name}"] = Calling(k8s, name, folder / f"{name}.jsonl")

        async def answered() -> bool:
            return bool(_last(calling.file).get("ok"))

        await wait_for(answered, what=f"callers {name} in {k8s.name} get answers", within=90, clock=self.clock)

    async def stop(self, *names: str) -> None:
        """End generators (`CLUSTER/NAME`; all without any) and wait for their summaries."""
        ending = [self.now.pop(name) for name in (names or tuple(self.now))]
        for calling in ending:
            await calling.k8s.delete(POD, calling.name, NAMESPACE)
        self.over += ending
        for calling in ending:

            async def ended(calling: Calling = calling) -> bool:
                gone = await calling.k8s.find(POD, calling.name, NAMESPACE) is None
                return gone and _last(calling.file).get("line") == "summary"

            what = f"the summary of {calling.name} in {calling.k8s.name}"
            await wait_for(ended, what=what, within=120, clock=self.clock)

    def count(self) -> dict[str, Any]:
        """The sum of what all generators have counted so far."""
        return add_up([line for each in self._all() if (line := _last(each.file))])

    def by_generator(self) -> dict[str, dict[str, Any]]:
        """What each of them counted, with its percentiles in milliseconds."""
        words = ("requests", "failed", "late", "latest_ms", "retried", "sides", "kinds", "p50_ms", "p99_ms")
        found = {f"{each.k8s.name}/{each.name}": _last(each.file) for each in self._all()}
        return {name: {word: line[word] for word in words if word in line} for name, line in found.items()}

    def failures(self) -> list[dict[str, Any]]:
        """The first failures of each generator, one by one."""
        found = [
            {**line, "from": f"{each.k8s.name}/{each.name}"}
            for each in self._all()
            for line in _lines(each.file)
            if line.get("line") == "failure"
        ]
        return sorted(found, key=lambda line: str(line["at"]))

    def _all(self) -> Iterable[Calling]:
        return {each.file: each for each in (*self.over, *self.now.values())}.values()


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def _last(path: Path) -> dict[str, Any]:
    """The newest counts; of a long file only the end is read."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 18)))
        lines = file.read().decode(errors="replace").splitlines()
    whole = (json.loads(line) for line in reversed(lines) if line.startswith('{"line"') and line.endswith("}"))
    return next((line for line in whole if line["line"] in {"second", "summary"}), {})
