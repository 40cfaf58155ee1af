"""Runs the lab's commands alone as `python -m landbridge.lab`."""

import sys

from landbridge.errors import LandbridgeError
from landbridge.lab.commands import app

if __name__ == "__main__":
    try:
        app()
    except LandbridgeError as error:
        print(f"{error.what}\n{error.advice}".strip(), file=sys.stderr)  # noqa: T201 - this is a command line
        sys.exit(error.exit_code)
