"""Copies in the judge: the same test, before the first user is asked to try the new side.

While a shadow lasts, the old side's counts are its answers to *safe* requests (all those of which a share is copied)
and the new side's are the answers to the copies. They make blocks of the same e-process as the weight steps after it,
so alpha is one promise over shadow and ramp together: evidence goes on where it stood, and a step more spends some of
the mass for late onset, whose schedule never exceeds 1 however many steps there are.

**Populations.** Envoy draws the copies from the safe requests at random, whatever is in them, so both sides are asked
the same mix. All requests of the old side would be no control: writes fail in other ways and last longer.

**Pairs.** The null of `errors.py` has outcomes independent given the block, and here a copy and its original are one
request twice, so they may fail together. Take one request that was copied: its copy fails with probability p_new, its
original with p_old >= p_new, and both with p_new p_old + d. Its factor in LR(r) is 1, rc, c or rc^2 (none fails, the
copy, the original, both; c = 1 / (1 - w + rw), w the share observed), so its mean is

    (1 + p_new (rc - 1)) (1 - p_old (1 - c)) + d (1 - rc) (1 - c)

The first term is what independent outcomes give. In the second rc >= 1 and c <= 1, so d >= 0 takes away: what fails
together makes the test **conservative** (it sees less than it could, and alpha holds), never the reverse. The same
holds for a null of m times and for r < 1. Where everything is copied (w = 1/2) it holds for any d: pairs of which only
the copy fails are not the likelier ones, 2r / (1 + r) and 2 / (1 + r) have the mean 1, and a pair that fails as one has
at most 1. A negative d at smaller shares would need requests that succeed here because they fail there. A pair that
straddles two blocks has the product of the same factors, each with its own block's share.

**What copies cannot say.** Nothing about writes, about sessions that a write has begun, or about load: the target
carries the copies only. So a shadow ends a ramp that would have gone wrong, and shortens no weight step.
"""

from __future__ import annotations

SHADOW = -1
"""Stands for the weight while copies are judged: it is below all weights, and none is lowered after it."""


def share(percent: int) -> float:
    """The copies' part of all answers compared, when so many percent of the safe requests are copied."""
    return percent / (100 + percent)
