"""Files of others that tests and benchmarks need as they were published: Go modules, at run time and by version."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from landbridge.errors import LandbridgeError
from landbridge.lab.host.programs import Say, find_go

GATEWAY_API = "sigs.k8s.io/gateway-api@v1.3.0"
"""Its definitions lie in `config/crd/standard`."""


async def fetch(module: str, *, say: Say) -> Path:
    """The folder of a Go module, `path@version`, downloaded once. Raises LandbridgeError."""
    go = await find_go(say)
    process = await asyncio.create_subprocess_exec(
        *(go, "mod", "download", "-json", module), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, problem = await process.communicate()
    if process.returncode:
        raise LandbridgeError(
            f"the Go module {module} cannot be had: {(problem or out).decode(errors='replace').strip()[-500:]}",
            advice="`go mod download` needs a module proxy (GOPROXY)",
        )
    return Path(json.loads(out)["Dir"])
