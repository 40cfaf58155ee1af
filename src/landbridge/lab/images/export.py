"""Writes what landbridge's image holds into a folder, for the Dockerfile: `python -m landbridge.lab.images.export DIR`.

`DIR/site-packages` are landbridge and all it needs at run time, without the tools that the lock also pins;
`DIR/landbridge` is its program; Envoy goes to /usr/local/bin, where an image of Envoy's own has it too.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from landbridge.lab.images.distributions import find_envoy, get_landbridge, get_needs
from landbridge.lab.images.oci import Item
from landbridge.lab.images.python import SITE

PROGRAM = "#!/usr/bin/env python3\nfrom landbridge.cli import main\nmain()\n"


def export(folder: Path, envoy: Path) -> None:
    """Write everything."""
    _copy((*get_landbridge(), *get_needs()), folder / "site-packages")
    program = folder / "landbridge"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    envoy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(find_envoy(), envoy)
    envoy.chmod(0o755)


def _copy(items: Iterable[Item], site: Path) -> None:
    for item in items:
        if item.source and item.target.startswith(f"{SITE}/"):
            target = site / item.target.removeprefix(f"{SITE}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(item.source, target)


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path("/usr/local/bin/envoy"))
