"""What may happen to a service in a ramp, healthy and not."""

from __future__ import annotations

from benchmarks.judge.traffic import DWELL, RAMP, Rate, Scenario, constant, drifting, outage

AT_35 = RAMP.index(35) * DWELL


def since(begin: int, value: float, before: float) -> Rate:
    """One value before a moment, another from then on."""
    return lambda t: value if t >= begin else before


MIXED = ((1, 0.9), (50, 0.1))

HEALTHY = (
    Scenario(name="0.1 %", healthy=True),
    Scenario(name="both noisy, 1.5 %", healthy=True, new=constant(0.015), old=constant(0.015)),
    Scenario(name="both at 20 %", healthy=True, new=constant(0.2), old=constant(0.2)),
    Scenario(name="shared outage, 3 % for 6 min", healthy=True, new=outage, old=outage),
    Scenario(name="drifting base, 0.04 to 1 %", healthy=True, new=drifting, old=drifting),
    Scenario(name="20 requests/s", healthy=True, rate=20.0),
    Scenario(name="2 requests/s, 1 %", healthy=True, rate=2.0, new=constant(0.01), old=constant(0.01)),
    Scenario(name="bursts of 5 on the new side", healthy=True, sizes=((5, 1.0),)),
    Scenario(name="bursts of 5 on both sides", healthy=True, sizes=((5, 1.0),), both_bunch=True),
    Scenario(name="bursts: 90 % x1, 10 % x50", healthy=True, sizes=MIXED),
    Scenario(name="noisy bursts of 5, 1.5 %, both", healthy=True, sizes=((5, 1.0),), both_bunch=True,
             new=constant(0.015), old=constant(0.015)),
    Scenario(name="retries double errors", healthy=True, sizes=((2, 1.0),), both_bunch=True),
    Scenario(name="stalls on either side", healthy=True, stalls=1 / 30),
    Scenario(name="true share 1.3 x, 1.5 %", healthy=True, share=1.3, new=constant(0.015), old=constant(0.015)),
    Scenario(name="both x1.5 slower from 5 min on", healthy=True, slower_new=since(300, 1.5, 1.0),
             slower_old=since(300, 1.5, 1.0)),
    Scenario(name="a third of the looks lost", healthy=True, lost=0.33),
)  # fmt: skip


def worse(percent: float) -> Scenario:
    """The new side fails so many percent, the old one 0.1."""
    return Scenario(name=f"{percent:g} %", healthy=False, new=constant(percent / 100), ratio=percent / 0.1)


FAULTY = (
    *(worse(p) for p in (0.3, 0.5, 1.0, 2.0, 5.0, 50.0)),
    Scenario(name="1 %, 20 requests/s", healthy=False, rate=20.0, new=constant(0.01), ratio=10.0),
    Scenario(name="20 %, 2 requests/s", healthy=False, rate=2.0, new=constant(0.2), ratio=200.0),
    Scenario(name="5 % from the 35 % step on", healthy=False, new=since(AT_35, 0.05, 0.001), ratio=50.0, late=35),
    Scenario(name="1 % from the 35 % step on", healthy=False, new=since(AT_35, 0.01, 0.001), ratio=10.0, late=35),
    Scenario(name="5 % over a base of 1.5 %", healthy=False, new=constant(0.05), old=constant(0.015), ratio=3.33),
    Scenario(name="x1.2 slower", healthy=False, slower_new=constant(1.2)),
    Scenario(name="x1.5 slower", healthy=False, slower_new=constant(1.5)),
    Scenario(name="x2 slower", healthy=False, slower_new=constant(2.0)),
    Scenario(name="2 % of requests +1 s", healthy=False, waits=0.02),
)
