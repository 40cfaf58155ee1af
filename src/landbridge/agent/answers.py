"""Which Services of the other cluster answer: one gateway asked for some of them, and hints for the rest (pure).

Every Service is asked for by its own name while there are few. Beyond `ALL` only some are asked each time, the others
in turn; of a Service that was not asked lately the other cluster's own EndpointSlices say whether it has somebody to
answer. A gateway that says nothing to anybody is dead, and with it every Service behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from landbridge.agent.probe import FAILURES, Answer, Health

Key = tuple[str, str]
ALL = 100  # Services asked for in every round: each keeps a TLS connection; 400 were 200 questions a second
IN_TURN = 8  # of the others in each round: each takes a handshake


@dataclass(slots=True)
class Book:
    """What is known of one cluster's exports, by (namespace, Service).

    `alive` is the gateway's, None before the first answer. `hints` has whether a Service has ready endpoints as the
    other API server shows them; a Service without a hint has to be asked for.
    """

    alive: bool | None = None
    silent: int = 0
    health: dict[Key, Health] = field(default_factory=dict)
    hints: dict[Key, bool] = field(default_factory=dict)
    _fresh: set[Key] = field(default_factory=set)
    _turn: int = 0

    def ready(self, key: Key) -> bool | None:
        """What the mirror's slice should say; None while nobody knows."""
        if self.alive is False:
            return False
        found = self.health.get(key)
        if found is not None and found.ready is not None:
            return found.ready
        return self.hints.get(key) if self.alive else None

    def believe(self, key: Key, *, ready: bool) -> None:
        """Begin with what a slice says already, so that a new leader changes nothing by arriving."""
        self.health.setdefault(key, Health(ready=ready))

    def keep(self, keys: Iterable[Key]) -> None:
        """Forget everything else."""
        wanted = set(keys)
        self.health = {key: health for key, health in self.health.items() if key in wanted}

    def hint(self, key: Key, *, ready: bool | None) -> bool:
        """What the other cluster's EndpointSlices say now; True when that changes what is known."""
        known, before = self.ready(key), self.hints.get(key)
        if ready is None:
            self.hints.pop(key, None)
        else:
            self.hints[key] = ready
        if before is not None and ready is not None and before is not ready:
            self.health[key] = Health(ready=ready)
            self._fresh.add(key)
        return known is not self.ready(key)

    def spoke(self) -> bool:
        """The gateway answered somebody. True when it was dead, or not known: then everything is looked at again."""
        before, self.alive, self.silent = self.alive, True, 0
        if before is False:  # what was said of them before it died may be old
            self.health = {key: health for key, health in self.health.items() if key not in self.hints}
        return before is not True

    def said_nothing(self) -> bool:
        """The gateway answered nobody in a whole round. True when it counts as dead from now on."""
        self.silent += 1
        if self.silent < FAILURES or self.alive is False:
            return False
        self.alive = False
        return True

    def answered(self, key: Key, answer: Answer) -> bool:
        """One Service was asked for while the gateway lives; True when that changes what is known.

        The gateway may hear of a change a little later than we: the first answer after a hint cannot contradict it, and
        of a Service that comes with pods one failure is not enough, as of any that is ready.
        """
        before = self.ready(key)
        if key in self._fresh:
            self._fresh.discard(key)
            return False
        known = self.health.get(key) or Health(ready=self.hints.get(key))
        self.health[key] = known.after(answered=answer is Answer.READY)
        return before is not self.ready(key)

    def doubtful(self, keys: Iterable[Key]) -> list[Key]:
        """Those that failed once and still count as ready: to be asked again soon."""
        found = ((key, self.health.get(key)) for key in keys)
        return [key for key, health in found if health is not None and health.failures and health.ready]

    def turn(self, keys: Mapping[Key, object]) -> list[Key]:
        """Whom to ask in this round: everybody while there are few, else the same ones and some of the others."""
        ordered = list(keys)
        if len(ordered) <= ALL:
            return ordered
        unknown = [key for key in ordered[ALL:] if self.ready(key) is None]
        rest = unknown or ordered[ALL:]
        begin = self._turn % len(rest)
        self._turn += IN_TURN
        return ordered[:ALL] + (rest[begin:] + rest[:begin])[: ALL if unknown else IN_TURN]
