"""What the large demo writes into migration.yaml is read back as it is meant."""

from __future__ import annotations

from pathlib import Path

from landbridge.catalog import get_catalog
from landbridge.lab.demo.setting import FEW_STEPS, SHOP, migration_of_many
from landbridge.model.service import ServiceId
from landbridge.settings import load, render_template
from landbridge.settings.migration import Cluster


def test_quiet_ones_flip_and_the_shop_ramps(tmp_path: Path) -> None:
    ends = [Cluster(name=name, context=name) for name in ("legacy", "eks")]
    written = render_template(source=ends[0], target=ends[1], namespaces=["trade", "shop"])
    text = migration_of_many(written, image="lab.example/landbridge:1", date="2026-11-21")
    (tmp_path / "migration.yaml").write_text(text)
    settings = load(tmp_path, get_catalog())
    assert settings.steps_of(ServiceId("trade", "invoice-store")) == (100,)
    assert all(settings.steps_of(ServiceId("shop", name)) == FEW_STEPS for name in SHOP)
    assert "cannot decide" in settings.reason("last-bake", "trade/invoice-store")
