"""The laws as functions: each says None, or a Refusal with the law's number and the reason. Pure; asked by all.

`plan` asks them of what it is about to write down, `run` before each act, the agent before it changes a split.

    weights    1, 2, 3, 12   check_sum, check_percent, check_drift, may_raise, may_scale, may_shrink_source, check_bake
    lease      4, 11         see, expiry, may_go_home, is_its_turn, may_write
    twosided   5             check, may_write, writes (the order of two splits)
    records    6, 10         check_journal, may_do, check_secrets
    rollback   7, 8, 9       may_advance, may_go_back, may_activate, check_active
    window                   parse (when a wave may begin)
    budget     1             budget, may_copy (connections of data stores that both sides share)
    retire     1, 7, 8       may_retire (the source out of the path for good)

Law 12's promise itself is kept by `judge`.
"""

from __future__ import annotations

from landbridge.laws.law import Law, Refusal, first

__all__ = ["Law", "Refusal", "first"]
