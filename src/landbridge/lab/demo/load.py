"""The callers of a demo: a load generator in each cluster, whose own counts are the only ones that are believed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landbridge.clients.kinds import POD
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, wait_for
from landbridge.lab.load.pods import get_manifests
from landbridge.lab.load.tally import add_up
from landbridge.lab.load.target import Target

NAMESPACE = "callers"
LONGEST = 3600.0  # a generator ends by itself after so many seconds, whatever became of the demo


@dataclass(slots=True)
class Callers:
    """The generators of all clusters; results are files of JSON lines on the node, which is this machine."""

    results: Path
    image: str
    clock: Clock
    started: list[Kubernetes]

    async def start(self, k8s: Kubernetes, targets: Sequence[Target]) -> None:
        """Start calling in one cluster, and wait for the first answers."""
        (self.results / k8s.name).mkdir(parents=True, exist_ok=True)
        made = get_manifests(
            targets, image=self.image, results=self.results / k8s.name, namespace=NAMESPACE, seconds=LONGEST
        )
        for manifest in made:
            await k8s.apply(manifest, manager="callers")
        self.started.append(k8s)

        async def calling() -> bool:
            return bool(self._last(k8s).get("ok"))

        await wait_for(calling, what=f"callers in {k8s.name} get answers", within=60, clock=self.clock, every=0.5)

    async def stop(self) -> dict[str, Any]:
        """End all generators and return the sum of their summaries, with each one's under `clusters`."""
        for k8s in self.started:
            await k8s.delete(POD, "load", NAMESPACE)
        ended = {}
        for k8s in self.started:

            async def over(k8s: Kubernetes = k8s) -> dict[str, Any] | None:
                last = self._last(k8s)
                return last if last.get("line") == "summary" else None

            ended[k8s.name] = await wait_for(over, what=f"the summary of {k8s.name}", within=120, clock=self.clock)
        return {**add_up(list(ended.values())), "clusters": ended}

    def now(self) -> dict[str, Any]:
        """The sum of what the generators have counted so far."""
        lines = [line for k8s in self.started if (line := self._last(k8s))]
        return add_up(lines)

    def failures(self) -> list[dict[str, Any]]:
        """The first failures of each generator, one by one, that no broken copy caused."""
        found = [line for k8s in self.started for line in self._lines(k8s) if line.get("line") == "failure"]
        return [line for line in found if not line["broken"]]

    def _lines(self, k8s: Kubernetes) -> list[dict[str, Any]]:
        path = self.results / k8s.name / "load.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]

    def _last(self, k8s: Kubernetes) -> dict[str, Any]:
        counts = [line for line in self._lines(k8s) if line.get("line") in {"second", "summary"}]
        return counts[-1] if counts else {}
