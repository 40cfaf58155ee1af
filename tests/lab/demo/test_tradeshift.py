"""The large demo itself, in its own time: minutes, and all of the machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from landbridge.lab.host.command import run

pytestmark = [pytest.mark.lab, pytest.mark.soak, pytest.mark.timeout(3600)]


async def test_all_move_and_nobody_notices(tmp_path: Path) -> None:
    await run(sys.executable, "-m", "landbridge", "demo", "tradeshift", "--out", str(tmp_path))
    told = json.loads((tmp_path / "demo.json").read_text())
    assert told["failed"] == 0
    assert told["moved"] == told["services"] == 409
    assert told["flips"]["services"] == 25
    assert told["mirrors"] == {"legacy": 409, "eks": 51}
    assert told["burn_up"][-1][1] == 409
    assert told["requests"] >= 500_000
    assert (tmp_path / "report.html").stat().st_size > 0
