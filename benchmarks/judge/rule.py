"""What every rule does: divide each second at its own weights, look at its own times, advance or roll back."""

from __future__ import annotations

import numpy as np

from benchmarks.judge.traffic import RAMP, Arms, Floats, Ints, Scenario, Second, divide


class Rule:
    """One rule over many runs. Results: when it rolled back (nan if never), bad requests of the new side till then."""

    def __init__(self, name: str, scenario: Scenario, runs: int, *, look: int) -> None:
        self.name, self.scenario, self.look = name, scenario, look
        self.step: Ints = np.zeros(runs, np.int64)
        self.started: Floats = np.zeros(runs)
        self.over = np.zeros(runs, bool)
        self.lost = np.zeros(runs, bool)
        self.ids: Ints = np.arange(runs)
        self.back: Floats = np.full(runs, np.nan)
        self.bad: Floats = np.zeros(runs)
        self.asked: Floats = np.zeros(runs)
        self.end: Floats = np.zeros(runs)

    def second(self, t: int, s: Second) -> None:
        """One more second of traffic; a decision where it is time for one."""
        arms = divide(s, self.step)
        live = ~self.over
        self.bad[self.ids[live]] += arms.bad_new[live]
        self.asked[self.ids[live]] += arms.n_new[live]
        self.lost = s.lost
        self.watch(t, arms, s)
        if t % self.look == 0:
            self.decide(t, np.flatnonzero(live))

    def watch(self, t: int, arms: Arms, s: Second) -> None:
        """Take note of one second."""
        raise NotImplementedError

    def decide(self, t: int, live: Ints) -> None:
        """Look, and act on it."""
        raise NotImplementedError

    def begin_step(self, rows: Ints) -> None:
        """These runs have a new weight."""

    def advance(self, rows: Ints, t: int) -> None:
        """The next weight, or the end of the ramp."""
        last = self.step[rows] == len(RAMP) - 1
        self.over[rows[last]] = True
        self.end[self.ids[rows[last]]] = t
        rows = rows[~last]
        if len(rows):
            self.begin_step(rows)
            self.step[rows] += 1
            self.started[rows] = t

    def roll_back(self, rows: Ints, t: int) -> None:
        """Home: nothing bad from here on."""
        self.over[rows] = True
        self.back[self.ids[rows]] = t
        self.end[self.ids[rows]] = t

    def keep(self, rows: Ints) -> None:
        """Go on with these runs only."""
        self.step, self.started, self.over = self.step[rows], self.started[rows], self.over[rows]
        self.ids, self.lost = self.ids[rows], self.lost[rows]
