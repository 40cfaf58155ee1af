"""What would go wrong: every check over the inventory, with a page for each (pure)."""

from landbridge.assess.assess import CHECKS, assess
from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.assess.pages import render_page, render_pages

__all__ = ["CHECKS", "Check", "Facts", "Seen", "assess", "render_page", "render_pages"]
