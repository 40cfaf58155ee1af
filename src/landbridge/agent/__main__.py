"""Runs the agent as `python -m landbridge.agent`, without the other commands."""

import sys

from landbridge.agent.commands import app

sys.exit(app())
