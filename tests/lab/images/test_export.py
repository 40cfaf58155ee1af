"""What the Dockerfile copies runs by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from landbridge.lab.images.export import export


def test_the_exported_folder_is_enough(tmp_path: Path) -> None:
    export(tmp_path / "image", tmp_path / "bin" / "envoy")
    site = tmp_path / "image" / "site-packages"
    code = "import landbridge, dbos, grpc, landbridge.lab.commands; print(landbridge.__file__)"
    clean = {"PATH": os.defpath, "PYTHONPATH": str(site)}
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    done = subprocess.run([base, "-S", "-c", code], env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    assert not (site / "pytest").exists()
    assert os.access(tmp_path / "image" / "landbridge", os.X_OK)
    said = subprocess.run([tmp_path / "bin" / "envoy", "--version"], capture_output=True, text=True, check=True)
    assert "envoy" in said.stdout
