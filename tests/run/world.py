"""A world in a file: what acts do to it is on the disk before they return, so that a killed runner can be checked.

python -m tests.run.world FOLDER     carries FOLDER/plan.json out and exits with the run's end
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from landbridge.clock import SystemClock
from landbridge.errors import LandbridgeError
from landbridge.model.plan import Act, ActKind, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId
from landbridge.run.carrier import begin, carry_out, end, launched, only_runner, read_json
from landbridge.run.decide import Ending, Result
from landbridge.run.engine import Engine
from landbridge.run.journal import FOLDER, Journal
from landbridge.run.turns import Executor, Job, Turns

PLAN = TypeAdapter(Plan)


def weight(folder: Path, name: str) -> int:
    """The weight of a service: a change and its record are one line, or a kill could come between them."""
    path = folder / "effects"
    lines = path.read_text().splitlines() if path.exists() else []
    changes = [line for line in lines if line.startswith(f"{name} ") and "->" in line]
    return int(changes[-1].split("->")[1]) if changes else 0


@dataclass(frozen=True, slots=True)
class Recorded(Executor):
    """Does nothing but write down that it did; a service's weight is what the last change of it says."""

    world: Path
    pause: float = 0.0

    def set(self, job: Job, percent: int) -> None:
        before = weight(self.world, job.service.name)
        if before != percent:
            self.write(f"{job.service.name} {before}->{percent}")

    def write(self, line: str) -> None:
        with (self.world / "effects").open("a") as file:
            file.write(line + "\n")
            os.fsync(file.fileno())

    async def do(self, job: Job) -> Result:
        self.write(f"do {job.act.id}")
        broken = (self.world / f"{job.service.name}.broken").exists()
        if job.act.kind is ActKind.WEIGHT:
            percent = int(job.act.args["percent"])
            self.set(job, percent)
            end = SystemClock().monotonic() + self.pause
            while SystemClock().monotonic() < end:
                job.check()
                await SystemClock().sleep(0.01)
            if broken and percent >= 5:
                return Result(ending=Ending.ROLL_BACK, reason="the new side is worse", weight=percent)
            return Result(ending=Ending.DONE, weight=percent)
        await SystemClock().sleep(self.pause / 2)
        return Result(ending=Ending.DONE)

    async def check(self, job: Job) -> str:
        return ""

    async def undo(self, job: Job) -> Result:
        self.write(f"undo {job.act.id}")
        if job.act.kind is ActKind.WEIGHT:
            self.set(job, 0)
            return Result(ending=Ending.UNDONE, weight=0)
        return Result(ending=Ending.UNDONE)


def plan(services: int = 1, weights: tuple[int, ...] = (5, 50, 100), concurrency: int = 4) -> Plan:
    """Copy and split; weights and finish; scale down: three waves."""
    names = [ServiceId("shop", f"s{i}") for i in range(services)]

    def act(service: ServiceId, kind: ActKind, name: str = "", **args: object) -> Act:
        return Act(id=f"{service}/{name or kind.value}", kind=kind, args=args)

    def moving(service: ServiceId) -> tuple[Act, ...]:
        steps = [act(service, ActKind.WEIGHT, f"weight-{w}", percent=w, dwell=0.1) for w in weights]
        return (act(service, ActKind.PIN), *steps, act(service, ActKind.FINISH))

    return Plan(
        source="legacy",
        target="eks",
        bounds=Bounds(concurrency=concurrency),
        waves=(
            Wave(name="join", services=tuple(
                ServicePlan(service=s, acts=(act(s, ActKind.COPY), act(s, ActKind.SPLIT))) for s in names)),
            Wave(name="move", services=tuple(ServicePlan(service=s, acts=moving(s)) for s in names)),
            Wave(name="leave", services=tuple(
                ServicePlan(service=s, acts=(act(s, ActKind.SCALE), act(s, ActKind.UNPIN))) for s in names)),
        ),
    )  # fmt: skip


def write(folder: Path, what: Plan) -> None:
    new = folder / "plan.json.new"
    new.write_bytes(PLAN.dump_json(what))
    new.replace(folder / "plan.json")


async def carry(folder: Path, pause: float = 0.0) -> dict[str, str]:
    """One run over the world in `folder`; the phase of each service at its end."""
    clock = SystemClock()
    kept = folder / FOLDER
    with only_runner(kept, clock), Journal(kept / "journal.db") as journal:
        executor = Recorded(folder, pause)
        turns = Turns(
            journal=journal,
            read_plan=read_json(folder / "plan.json", PLAN),
            executors=dict.fromkeys(ActKind, executor),
            clock=clock,
        )
        begin(turns)
        engine = Engine(kept, turns, clock, concurrency=turns.book().plan.bounds.concurrency)
        async with launched(engine):
            standings = await carry_out(engine, turns)
        end(journal, clock)
        return {str(service): s.state.phase.value for service, s in standings.items()}


def main() -> int:
    try:
        sys.stdout.write(json.dumps(asyncio.run(carry(Path(sys.argv[1]), float(sys.argv[2])))) + "\n")
    except LandbridgeError as error:
        sys.stderr.write(f"{type(error).__name__}: {error.what}; {error.where}; {error.advice}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    os._exit(main())
