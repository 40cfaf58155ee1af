"""Runs the command line as `python -m landbridge`."""

from landbridge.cli import main

main()
