"""One executor for each kind of act, and another table over the same plan that only tells: the dry run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from landbridge.model.plan import ActKind
from landbridge.run.acts_export import Export
from landbridge.run.acts_objects import Copy, HandOver
from landbridge.run.acts_shadow import Shadow
from landbridge.run.acts_size import Pin, Ready, Scale, Unpin
from landbridge.run.acts_traffic import Adopt, Finish, SetWeight, Soak, Split, Unadopt
from landbridge.run.agenda import percent
from landbridge.run.decide import Ending, Result
from landbridge.run.tools import Tools, objects_of
from landbridge.run.turns import Executor, Job


def executors(tools: Tools) -> Mapping[ActKind, Executor]:
    """What really acts."""
    return {
        ActKind.COPY: Copy(tools),
        ActKind.READY: Ready(tools),
        ActKind.PIN: Pin(tools),
        ActKind.ADOPT: Adopt(tools),
        ActKind.EXPORT: Export(tools),
        ActKind.SPLIT: Split(tools),
        ActKind.HANDOVER: HandOver(tools),
        ActKind.SHADOW: Shadow(tools),
        ActKind.WEIGHT: SetWeight(tools),
        ActKind.FINISH: Finish(tools),
        ActKind.SOAK: Soak(tools),
        ActKind.SCALE: Scale(tools),
        ActKind.UNADOPT: Unadopt(tools),
        ActKind.UNPIN: Unpin(tools),
    }


@dataclass(frozen=True, slots=True)
class Told(Executor):
    """Says what would be done."""

    async def do(self, job: Job) -> Result:
        """One line an act."""
        match job.act.kind:
            case ActKind.WEIGHT:
                job.say(f"would set {percent(job.act)} % and watch for {job.act.args.get('dwell', 60)} s")
                return Result(ending=Ending.DONE, weight=percent(job.act))
            case ActKind.SHADOW:
                job.say(f"would copy {percent(job.act)} % of the safe requests for {job.act.args.get('dwell', 60)} s")
            case ActKind.COPY | ActKind.HANDOVER:
                job.say(f"would {job.act.kind.value} {', '.join(map(str, objects_of(job)))}")
            case _:
                args = ", ".join(f"{key} {value}" for key, value in job.act.args.items())
                job.say(f"would {job.act.kind.value}" + (f" ({args})" if args else ""))
        return Result(ending=Ending.DONE)

    async def undo(self, job: Job) -> Result:
        """One line an act."""
        job.say(f"would take back {job.act.kind.value}")
        return Result(ending=Ending.UNDONE, weight=0 if job.act.kind is ActKind.WEIGHT else None)


DRY_RUN: Mapping[ActKind, Executor] = dict.fromkeys(ActKind, Told())
