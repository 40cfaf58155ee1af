"""The commands of docs/tutorial.md, run one after the other as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("tutorial"), pytest.mark.timeout(900)]


def test_tutorial(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    script = "set -eux\n" + "\n".join(blocks)
    script = script.replace("landbridge lab up", "landbridge lab up --index 8").replace('["labs"][0]', '["labs"][-1]')
    script = script.replace("landbridge lab down", "landbridge lab down --index 8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    try:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run(["landbridge", "lab", "down", "--index", "8"], env=environment, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "shop-migration" / "report.html").exists()
