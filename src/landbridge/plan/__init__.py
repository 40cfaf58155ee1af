"""Inventory, findings and settings become waves of acts: data that people review like code (pure)."""

from landbridge.plan.diff import Change, diff
from landbridge.plan.document import load
from landbridge.plan.make import make
from landbridge.plan.text import dump

__all__ = ["Change", "diff", "dump", "load", "make"]
