"""The one observer of a process: reads every service each second, judges, and makes the first cut of a rollback.

Between two acts, while it is held and while it is paused, a service that has a share is watched on: it may still have
to go home.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace

from landbridge import judge
from landbridge.clock import Clock
from landbridge.errors import DriftError, LandbridgeError
from landbridge.judge import share
from landbridge.judge.share import ShareState
from landbridge.model.journal import Entry, Outcome, What
from landbridge.model.look import COPIES, Cursor, Look, Reading, plain_counts
from landbridge.model.plan import Plan
from landbridge.model.service import Route, ServiceId, Side, Weight
from landbridge.observe.guards import Guards
from landbridge.observe.provider import MetricsProvider
from landbridge.run.decide import Ending, Result
from landbridge.run.journal import Journal, Seen
from landbridge.run.owners import Owners, in_turn
from landbridge.run.switches import TwoSided
from landbridge.run.turns import Job
from landbridge.run.watch import Opinion, Watch, begin_judge, is_quiet, late, not_obeyed, numbers, totals

EVERY = 1.0
"""Seconds between two looks."""

FOLLOW = 5
"""Looks between two at namespaces where nothing moves: 409 services each second were half a core."""

SOONEST = 0.2
"""Seconds between the end of a look and the next at least, however many weights are written; as long as the look took,
up to `EVERY`, where that is longer: what is watched needs the cores as well."""

OUTSIDE = "a policy outside the promise of alpha"

JUDGE = "the judge"
"""Who asks for a rollback that no act in hand can make."""


class Observer:
    """Feeds the `watch` of every weight act; journals looks, verdicts and the cursor in one transaction a second."""

    def __init__(
        self,
        provider: MetricsProvider,
        journal: Journal,
        clock: Clock,
        *,
        owners: Owners,
        guards: Guards | None = None,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        self.provider = provider
        self.journal = journal
        self.clock = clock
        self.owners = owners
        self.guards = guards or Guards({}, {}, clock)
        self.fence = fence
        self.watches: dict[ServiceId, Watch] = {}
        self._followed: dict[ServiceId, tuple[Route, judge.JudgeState]] = {}
        self._ticks = 0
        self._told: list[str] | None = None
        self._wake = asyncio.Event()
        kept = journal.fact("cursor") or {}
        self._cursor: Cursor = kept.get("cursor", {})

    def follow(self, route: Route, plan: Plan) -> None:
        """Learn a service's levels at weight 0, before its target is asked anything."""
        self._followed.setdefault(route.service, (route, begin_judge(plan, route.service)))

    def leave(self, service: ServiceId) -> None:
        """Watch a service no longer."""
        if self.watches.pop(service, None):
            self.owners.end(service)

    def crossed(self, service: ServiceId) -> str:
        """What the judge has said against a service in this attempt, if it has rolled it back before a crash."""
        state = self._kept(service)
        return judge.verdict(state, step_started=0.0, dwell=0.0, at=0.0).detail if state and state.crossed_at else ""

    def guarded(self, service: ServiceId) -> str:
        """What guards have against raising a service's weight."""
        return "; ".join(str(breach) for breach in self.guards.of(service))

    async def prepare(self, service: ServiceId) -> None:
        """To be called before a weight is written: the first look has to come right after it."""
        self.leave(service)
        await self.owners.begin(service)

    async def stand(self, job: Job, switches: TwoSided, *, dwell: float) -> str:
        """Watch on what an earlier runner left at a weight; why not, where that cannot be.

        To be called before acts begin: a service has one watch, which is its act's as soon as that prepares a weight.
        """
        percent = job.state.weight
        if job.service in self.watches:
            return ""
        await self.owners.begin(job.service)
        live = await switches.read()
        strange = {weight.percent for weight in live.values()} - {0, percent}
        if strange or not (any(weight.percent for weight in live.values()) or self.crossed(job.service)):
            self.owners.end(job.service)
            return f"the weight is {min(strange, default=0)} %, not {percent} %"
        self.watches[job.service] = self._begin(job, switches, live, percent=percent, previous=percent, dwell=dwell)
        self.watches[job.service].standing = True
        self.owners.written(job.service, percent)
        self._wake.set()
        return ""

    async def watch(
        self,
        job: Job,
        switches: TwoSided,
        live: dict[Side, Weight],
        *,
        percent: int,
        previous: int,
        first: bool,
        dwell: float,
        copies: int = 0,
    ) -> Result:
        """Dwell at a weight and judge; how that ended. InterruptedActError when a person wants something else."""
        watch = self._begin(job, switches, live, percent=percent, previous=previous, dwell=dwell, copies=copies)
        watch.first = first
        self.owners.written(job.service, percent)
        self.watches[job.service] = watch
        self._wake.set()
        try:
            while not watch.ended.done():
                job.check()
                await asyncio.wait([watch.ended], timeout=0.25)
            return watch.ended.result()
        finally:
            result = watch.ended.result() if watch.ended.done() else None
            watch.standing = 0 < percent < 100 and (result is None or result.ending in {Ending.DONE, Ending.HELD})
            if not watch.standing:
                self.leave(job.service)

    def _begin(
        self,
        job: Job,
        switches: TwoSided,
        live: dict[Side, Weight],
        *,
        percent: int,
        previous: int,
        dwell: float,
        copies: int = 0,
    ) -> Watch:
        granularity = switches.route().granularity
        return Watch(
            job=job,
            switches=switches,
            weight=percent,
            dwell=dwell,
            live=live,
            started=self.clock.now(),
            judge=self._judge(job.service, job.plan, judge.SHADOW if copies else percent),
            share=ShareState(weight=percent, previous=previous, granularity=granularity, settle=1.0),
            bounds=job.plan.bounds,
            copies=copies,
            ended=asyncio.get_running_loop().create_future(),
        )

    def _kept(self, service: ServiceId) -> judge.JudgeState | None:
        kept = self.journal.judge(service)
        return judge.JudgeState.from_json(kept) if kept else None

    def _judge(self, service: ServiceId, plan: Plan, percent: int) -> judge.JudgeState:
        """The judge as it was after the last look; one that we did not watch ourselves begins a new block."""
        state = self._kept(service)
        if state is None:
            _, state = self._followed.pop(service, (None, begin_judge(plan, service)))
            return judge.change_weight(state)
        self._followed.pop(service, None)
        if state.weight == percent:
            return judge.resume(state, "own restart")
        return judge.change_weight(state)

    async def run(self) -> None:
        """Look once a second for ever, and when a weight was written. Only a journal that cannot be written ends it."""
        while True:
            began = self.clock.monotonic()
            self._wake.clear()
            await self.tick()
            took = self.clock.monotonic() - began
            await self.clock.sleep(min(max(SOONEST, took), EVERY))
            await self._rest(EVERY - (self.clock.monotonic() - began))

    async def _rest(self, seconds: float) -> None:
        """Until the next look is due, or a weight was written: what is counted before the first look is lost."""
        ways = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self.clock.sleep(max(0.0, seconds)))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()

    async def tick(self) -> None:
        """One look at everything: read, judge, journal, then act on what was found."""
        self._tell_guards()
        watches = list(self.watches.values())
        mine = in_turn([w.service for w in watches], self._ticks)
        self._ticks += 1
        routes = [w.switches.route() for w in watches] + self._to_follow({w.service.namespace for w in watches})
        if not routes:
            return
        look, _ = await asyncio.gather(self.provider.read(routes, self._cursor), self.owners.look(mine))
        self._learn_followed(look)
        opinions = [(w, await self._judge_one(w, look)) for w in watches if w.service in self.watches]
        seen = [self._seen(w, opinion) for w, opinion in opinions]
        self._cursor = look.cursor
        self.journal.looked(look.at, look.cursor, seen)
        await asyncio.gather(*(self._act(w, opinion) for w, opinion in opinions if opinion.ending is not None))

    def _tell_guards(self) -> None:
        """Keep what stands against services for `status`, when it has changed."""
        told = [f"{breach}; holds {', '.join(breach.services)}" for breach in self.guards.breaches()]
        if told != self._told:
            self.journal.put("guards", told)
            self._told = told

    def _to_follow(self, read: Collection[str]) -> list[Route]:
        """Services at weight 0, whose levels need no look each second: with their namespace, or every fifth time."""
        turn = self._ticks % FOLLOW == 1
        return [route for service, (route, _) in self._followed.items() if turn or service.namespace in read]

    def _learn_followed(self, look: Look) -> None:
        for service, (route, state) in list(self._followed.items()):
            reading = look.readings.get(service)
            if isinstance(reading, Reading):
                self._followed[service] = (route, judge.observe(state, reading.counts, weight=0, at=look.at))

    async def _judge_one(self, watch: Watch, look: Look) -> Opinion:
        reading = watch.reading = look.readings.get(watch.service)
        changed = self.owners.changed(watch.service)
        if changed:
            watch.judge = judge.restart_block(watch.judge, changed)
            self._note(watch, changed, look.at)
        if isinstance(reading, Reading):
            if reading.restarted:
                watch.judge = judge.restart_block(watch.judge, "a waypoint was replaced")
            if watch.fresh:
                watch.fresh = reading.until is not None and reading.until < watch.started
            else:
                counts, weight = (reading.shadows, judge.SHADOW) if watch.copies else (reading.counts, watch.weight)
                watch.judge = judge.observe(watch.judge, counts, weight=weight, at=look.at)
                if watch.share.since is not None or not late(watch):  # before, a share says nothing of this weight
                    new, old = totals(reading, watch.switches.divided)
                    watch.share = share.observe(watch.share, new=new, old=old, at=look.at)
            if watch.copies:
                watch.reading = replace(reading, counts=reading.shadows)
        try:
            return self._opinion(watch, look.at)
        except DriftError as error:
            where = f" ({error.where})" if error.where else ""
            return Opinion(Ending.DRIFT, "drift", f"{error.what}{where}; {error.advice}")

    def _opinion(self, watch: Watch, at: float) -> Opinion:
        said = judge.verdict(watch.judge, step_started=watch.started, dwell=watch.dwell, at=at)
        if said.decision is judge.Decision.ROLL_BACK:
            return Opinion(Ending.ROLL_BACK, said.decision.value, said.detail or str(said))
        self.owners.check(watch.service)
        breaches = self.guards.of(watch.service)
        if breaches and breaches[0].roll_back:
            return Opinion(Ending.ROLL_BACK, judge.Decision.ROLL_BACK.value, f"{breaches[0]}; {OUTSIDE}")
        reason = "" if said.decision is judge.Decision.ADVANCE else str(said)
        over = at - watch.started >= watch.dwell
        if said.reason is judge.Reason.TOO_LITTLE and not watch.first and watch.bounds.must_see is None:
            reason = ""  # evidence adds up over the ramp, and a smaller share was passed with enough of it
        quiet = over and is_quiet(watch, said)
        if quiet:
            reason = ""
        if watch.weight >= 100 and said.reason in {judge.Reason.NO_CONTROL, judge.Reason.BLOCK_OPEN}:
            reason = "" if over else f"hold, {judge.Reason.DWELL.value}"
        if breaches:
            reason = f"hold, {self.guarded(watch.service)}"
        reason = reason or self.owners.unready(watch.service) or not_obeyed(watch)
        if not reason:
            told = f"the copies decide nothing: {said.detail}" if quiet else ""
            return Opinion(Ending.DONE, judge.Decision.ADVANCE.value, told)
        overdue = at - watch.started >= watch.bounds.max_hold_dwells * watch.dwell
        person = overdue and said.reason is not judge.Reason.DWELL
        return Opinion(Ending.HELD if person else None, judge.Decision.HOLD.value, reason)

    async def _act(self, watch: Watch, opinion: Opinion) -> None:
        """End a watch; a rollback sends the traffic home at once, if the source can carry it (law 8)."""
        assert opinion.ending is not None
        if watch.standing:
            if opinion.ending is Ending.ROLL_BACK:
                await self._send_home(watch, opinion.reason)
            return
        weight, reason = watch.weight, opinion.reason or numbers(watch)
        if opinion.ending is Ending.ROLL_BACK:
            why = await self._cut(watch)
            weight, reason = (weight, f"{reason}; not sent home at once: {why}") if why else (0, reason)
        if not watch.ended.done():
            watch.ended.set_result(Result(ending=opinion.ending, reason=reason, weight=weight))

    async def _send_home(self, watch: Watch, reason: str) -> None:
        """No act is in hand: cut, and ask for the rest of the rollback as a person would."""
        await self._cut(watch)
        self.leave(watch.service)
        detail = {"reason": reason, "attempt": watch.job.state.attempt}
        at = self.clock.now()
        self.journal.append(
            Entry(service=watch.service, act=watch.job.act.id, outcome=Outcome.VERDICT, at=at, detail=detail)
        )
        self.journal.command(What.ROLLBACK, watch.service, f"{JUDGE}: {reason}", at)

    async def _cut(self, watch: Watch) -> str:
        """All traffic home at once; why not, when it is left to the act that takes the weight back with patience."""
        try:
            self.fence()
            if why := self.owners.source_unready(watch.service):
                return why
            await watch.switches.home(watch.live)
        except LandbridgeError as error:
            return error.what
        return ""

    def _note(self, watch: Watch, text: str, at: float) -> None:
        watch.job.say(text)
        detail = {"note": text}
        entry = Entry(service=watch.service, act=watch.job.act.id, outcome=Outcome.NOTE, at=at, detail=detail)
        self.journal.append(entry)

    def _seen(self, watch: Watch, opinion: Opinion) -> Seen:
        return Seen(
            service=watch.service,
            weight=watch.weight,
            counts=plain_counts(watch.reading, prefix=COPIES if watch.copies else ""),
            judge=watch.judge.to_json(),
            verdict=opinion.verdict,
            reason=opinion.reason,
        )
