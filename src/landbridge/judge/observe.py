"""One look enters the judge: counted once, at one weight, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, log

from landbridge.judge import blocks, bursts, errors, interval, latency
from landbridge.judge.blocks import Closed, Counts, Open
from landbridge.judge.bursts import MOST, Bursts
from landbridge.judge.errors import Bets
from landbridge.judge.state import Before, JudgeState, Settings, Step, Totals, evidence_of
from landbridge.model.look import Count
from landbridge.model.service import Side

HALF_LIFE = 30.0
"""Seconds in which what counts as "recent" fades by half (for the holds that are outside alpha)."""


def start(settings: Settings) -> JudgeState:
    """A judge that has seen nothing: one per service and ramp attempt, for alpha is spent per attempt."""
    passing = None
    if settings.pass_below is not None:
        passing = errors.start(errors.downward(settings.pass_below), kept_back=0.0)
    return JudgeState(settings=settings, errors=errors.start(bets_for(settings)), passing=passing)


def bets_for(settings: Settings) -> Bets:
    """The bets on errors."""
    return errors.upward(settings.null)


def observe(state: JudgeState, counts: Counts, *, weight: int, at: float) -> JudgeState:
    """The judge after one look.

    `counts` are what each stratum's sides completed since the look before (a look's `Reading.counts`), `weight` the
    percent that held during all of it, `at` the look's time in seconds. A look delivered twice, or late, changes
    nothing. A look that spans a weight change not announced by `change_weight` is not counted, nor is anything for
    one timeout's length after the weight was lowered: what fails then was started at the larger share. With `SHADOW` as
    the weight the counts are copies and, on the old side, the requests that may be copied.
    """
    if state.at is not None and at <= state.at:
        return state
    if not blocks.is_sound(counts):
        return replace(state, fault="more errors than requests, or a negative count")
    if state.weight is None:
        lowered = state.last_weight is not None and 0 <= weight < state.last_weight  # copies are no weight
        state = replace(state, weight=weight, quiet_until=at + state.settings.timeout if lowered else state.quiet_until)
    elif weight != state.weight:
        state = replace(change_weight(state), skip=True)
        return observe(state, counts, weight=weight, at=at)
    quiet = state.quiet_until is not None and at <= state.quiet_until
    if state.skip or quiet:
        return replace(state, at=at, skip=False, fault="")
    return judge_look(note(state, counts, at), counts, at)


def change_weight(state: JudgeState) -> JudgeState:
    """Call it after the last look at the old weight: blocks close, a step begins, mass for late onset is spent."""
    state = close_all(state)
    passing = state.passing
    if state.settings.pass_below is not None:
        passing = errors.start(errors.downward(state.settings.pass_below), kept_back=0.0)
    state = respend(state)
    last = state.weight if state.weight is not None else state.last_weight
    return replace(state, passing=passing, step=Step(), weight=None, last_weight=last)


def restart_block(state: JudgeState, reason: str) -> JudgeState:
    """Forget the open blocks and the look under way: a side has a new image, and its owner knew what had failed.

    Holds with `reason` until a block closes again.
    """
    return replace(respend(replace(state, open={})), skip=state.at is not None, restarted=reason)


def resume(state: JudgeState, reason: str) -> JudgeState:
    """Go on after we were not watching ourselves: what was seen counts, what went on meanwhile does not.

    Our own death has nothing to do with what failed, so the open blocks may close. Holds until one closes again.
    """
    return replace(respend(close_all(state)), skip=state.at is not None, restarted=reason)


def respend(state: JudgeState) -> JudgeState:
    """Let some of the mass kept back bet from now on."""
    margin, gauges = state.settings.margin, state.gauges or ()
    tails = [errors.restart(latency.bets(g.tail, margin), e) for g, e in zip(gauges, state.tails, strict=True)]
    return replace(state, errors=errors.restart(bets_for(state.settings), state.errors), tails=tuple(tails))


def judge_look(state: JudgeState, counts: Counts, at: float) -> JudgeState:
    """Gather the look into each stratum's block, and judge what closes."""
    state = learn(state, counts)
    s, gauges = state.settings, state.gauges or ()
    open_blocks, closed = dict(state.open), []
    for stratum, sides in counts.items():
        look = blocks.tally(sides, gauges)
        since = state.open[stratum] if stratum in state.open else Open(unit_since=at - bursts.UNIT)
        block = blocks.gather(since, look, at=at, how=s.bursts)
        if blocks.is_full(block, at=at, seconds=s.block_seconds):
            closed.append(blocks.close(block))
            block = Open(unit_since=at)
        open_blocks[stratum] = block
    return settle(state, open_blocks, closed, at)


def settle(state: JudgeState, still: Mapping[str, Open], closed: list[Closed], at: float | None) -> JudgeState:
    """Update every test with the blocks that closed, and remember if the bar was ever crossed; `still` stay open."""
    if not closed:
        return replace(state, open=still)
    s, gauges = state.settings, state.gauges or ()
    failures, tails, passing, low, high = state.errors, state.tails, state.passing, state.low, state.high
    bets, most = bets_for(s), MOST if s.bursts is Bursts.CAP else inf
    for block in closed:
        failures = errors.update(bets, failures, block.sample)
        same = low == high and block.sample == block.upper
        low = interval.update(low, block.sample)
        high = low if same else interval.update(high, block.upper)
        if passing is not None and s.pass_below is not None:
            passing = errors.update(errors.downward(s.pass_below), passing, block.upper)
        if tails and block.sums.tails_new:
            tails = tuple(
                errors.update(latency.bets(g.tail, s.margin), e, block.tail(i), most=most)
                for i, (g, e) in enumerate(zip(gauges, tails, strict=True))
            )
    now = evidence_of(s, failures, tails)
    crossed = state.crossed_at
    if crossed is None and now >= log(1.0 / s.alpha):
        crossed = at
    return replace(
        state,
        open=still,
        errors=failures,
        tails=tails,
        passing=passing,
        low=low,
        high=high,
        peak=max(state.peak, now),
        crossed_at=crossed,
        restarted="",
        step=replace(state.step, blocks=state.step.blocks + len(closed)),
    )


def close_all(state: JudgeState) -> JudgeState:
    """Close what is open, full or not: the share changes."""
    s, closed = state.settings, []
    for block in state.open.values():
        done = blocks.complete(block, at=block.unit_since, how=s.bursts)
        if done.block.n_new or done.block.n_old:
            closed.append(blocks.close(done))
    return settle(state, {}, closed, state.at)


def learn(state: JudgeState, counts: Counts) -> JudgeState:
    """Learn the old side's levels; they and the gauges are fixed when the weight rises and enough is known."""
    if state.gauges is not None:
        return state
    if not state.weight or state.before.n < latency.ENOUGH:
        return replace(state, before=add_before(state.before, counts))
    s, before = state.settings, state.before
    gauges = latency.choose(before.slower, before.n, hop=s.hop) if s.latency else ()
    # blocks gathered without gauges close first, so that no block counts tails for a part of its requests
    state = close_all(state)
    tails = tuple(errors.start(latency.bets(g.tail, s.margin)) for g in gauges)
    return replace(state, gauges=gauges, tails=tails)


def add_before(before: Before, counts: Counts) -> Before:
    """The old side's counts of one look added to what is known of it."""
    n, bad, slower = before.n, before.bad, dict(before.slower)
    for count in old_side(counts):
        n, bad = n + count.n, bad + count.bad
        for bound, slow in count.buckets.items():
            slower[bound] = slower.get(bound, 0) + slow
    return Before(n, bad, slower)


def old_side(counts: Mapping[str, Mapping[Side, Count]]) -> list[Count]:
    """The source's count in each stratum that has one."""
    return [sides[Side.SOURCE] for sides in counts.values() if Side.SOURCE in sides]


def note(state: JudgeState, counts: Counts, at: float) -> JudgeState:
    """A look's plain sums, added to this step's, the ramp's, and the recent ones."""
    n_new = n_old = bad_new = bad_old = 0
    for sides in counts.values():
        new, old = sides.get(Side.TARGET, blocks.NOTHING), sides.get(Side.SOURCE, blocks.NOTHING)
        n_new, bad_new, n_old, bad_old = n_new + new.n, bad_new + new.bad, n_old + old.n, bad_old + old.bad
    look = Totals(n_new, n_old, bad_new, bad_old)
    fade = 0.5 ** ((at - state.at) / HALF_LIFE) if state.at is not None else 0.0
    step = Step(plus(state.step.counts, look), state.step.blocks)
    recent, total = plus(state.recent, look, fade), plus(state.total, look)
    return replace(state, at=at, fault="", recent=recent, total=total, step=step)


def plus(a: Totals, b: Totals, keep: float = 1.0) -> Totals:
    """Add b to what is kept of a."""
    return Totals(
        a.n_new * keep + b.n_new, a.n_old * keep + b.n_old, a.bad_new * keep + b.bad_new, a.bad_old * keep + b.bad_old
    )
