"""The kernel's limit on inotify instances: 128 by default, and two clusters with Envoys in their pods need more.

kubelet, containerd and each Envoy hold several. Raised while a lab runs, put back when the last one goes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from landbridge.lab.host.programs import Say

INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH = 8192


def raise_inotify(kept: Path, *, say: Say, limit: Path = INSTANCES) -> None:
    """Raise the limit where it is low, and write down in `kept` what it was."""
    now = int(limit.read_text())
    if now >= ENOUGH:
        return
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(str(now))
    try:
        limit.write_text(str(ENOUGH))
    except OSError as error:
        say(f"fs.inotify.max_user_instances stays at {now} ({error}): many pods may fail to start")
        return
    say(f"fs.inotify.max_user_instances is {ENOUGH} while labs run (was {now})")


def restore_inotify(kept: Path, *, limit: Path = INSTANCES) -> None:
    """Put it back, unless somebody else has set it since."""
    with contextlib.suppress(OSError, ValueError):
        prior = int(kept.read_text())
        if int(limit.read_text()) == ENOUGH:
            limit.write_text(str(prior))
    kept.unlink(missing_ok=True)
