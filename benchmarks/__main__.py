"""`make bench`: how fast, always beside a peer or a limit of the same run.

    python -m benchmarks [NAME...] [--quick] [--json FILE]

One line a figure; the exit code is 1 when one does not hold. `python -m benchmarks.judge` is the judge's own.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.traffic import say
from landbridge.errors import LandbridgeError

NAMES = ("rollback", "weights", "flips", "gateway", "inventory", "mirrors")


def main(argv: list[str]) -> int:
    """Run what is named, or all; 1 when a limit is not kept or a benchmark could not measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Performance against peers and limits.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all when none is given")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see that it runs, not to quote")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures as JSON too")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    figures: list[Figure] = []
    broken = False
    for name in options.names or NAMES:
        say(f"{name} ...")
        try:
            found = asyncio.run(importlib.import_module(f"benchmarks.{name}").measure(quick=options.quick))
        except LandbridgeError as error:
            broken = True
            print(f"{name:<10} NOT MEASURED: {error}", flush=True)
            continue
        except KeyboardInterrupt:  # what it had started is ended by then
            say(f"{name} interrupted; nothing of it is left")
            return 130
        figures += found
        print("\n".join(figure.line() for figure in found), flush=True)
    if options.json:
        options.json.write_text(json.dumps([figure.document() for figure in figures], indent=2) + "\n")
    return int(broken or not all(figure.holds for figure in figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
