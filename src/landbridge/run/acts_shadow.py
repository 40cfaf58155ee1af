"""The act before the first weight: copies of safe requests to the target, judged as the weights after it are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from landbridge.clients.answers import NotFoundError
from landbridge.errors import LandbridgeError
from landbridge.model.journal import Receipt
from landbridge.model.service import Side, Weight
from landbridge.run.acts_traffic import READY_WITHIN, not_yet
from landbridge.run.agenda import percent as percent_of
from landbridge.run.decide import Ending, Result
from landbridge.run.switches import TwoSided
from landbridge.run.tools import Tools
from landbridge.run.turns import Executor, FenceError, InterruptedActError, Job


@dataclass(frozen=True, slots=True)
class Shadow(Executor):
    """Copy a share of the safe requests for a dwell, watch how the copies fare, and stop copying."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """At weight 0 only; whatever the observer says, nothing is copied when the act has ended."""
        if job.state.weight:
            return Result(ending=Ending.DONE, reason="the target has users already: there is nothing to try first")
        if said := self.tools.observer.crossed(job.service):
            return Result(ending=Ending.ROLL_BACK, reason=said)
        switches = await self.tools.switches(job)
        if not switches.shadows:
            return Result(ending=Ending.DONE, reason="this router cannot copy requests")
        live = await switches.expect((0,))
        why = await self.tools.wait(
            job, lambda: not_yet(self.tools, job, switches, live[Side.SOURCE], 1), within=READY_WITHIN
        )
        if why:
            return Result(ending=Ending.HELD, reason=why)
        job.remember(await self._standing(switches))
        await switches.prepare()  # home and the lease as this run wants them
        await self.tools.observer.prepare(job.service)
        try:
            found = await self._watch(job, switches)
        except FenceError:
            raise  # another run writes now; the lease that this one lost turns the copies off
        except LandbridgeError:
            with suppress(LandbridgeError):
                await switches.set_shadow(0)
            raise
        await switches.set_shadow(0)
        return found

    async def _watch(self, job: Job, switches: TwoSided) -> Result:
        percent = percent_of(job.act)
        written = await switches.set_shadow(percent)
        now = {receipt.side: Weight(percent=0, version=receipt.version) for receipt in written}
        job.say(f"copies {percent} % of the safe requests: users see nothing of it")
        dwell = float(job.act.args.get("dwell", 60.0))
        try:
            found = await self.tools.observer.watch(
                job, switches, now, percent=0, previous=0, first=False, dwell=dwell, copies=percent
            )
        except InterruptedActError as asked:
            return Result(ending=Ending.INTERRUPTED, reason=asked.what)
        return replace(found, weight=0)

    async def _standing(self, switches: TwoSided) -> Sequence[Receipt]:
        found = [await switches.standing(side, self.tools.cluster(side)) for side in Side]
        return [receipt for receipt in found if receipt is not None]

    async def undo(self, job: Job) -> Result:
        """Home, where nothing is copied and no header leads to the target; a switch that is gone does neither."""
        self.tools.observer.leave(job.service)
        switches = await self.tools.switches(job)
        try:
            await switches.home(await switches.read())
        except NotFoundError:
            job.say("there is no switch that could copy anything")
        return Result(ending=Ending.UNDONE)
