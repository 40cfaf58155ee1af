"""`assess` shows the NetworkPolicies that waypoints need, and stops the plan until they are there."""

from __future__ import annotations

from pathlib import Path

import yaml

from landbridge.cli import folder
from landbridge.errors import Exit
from tests.assess.world import deployment, healthy, inventory, service, thing
from tests.cli.conftest import Command

DENY = thing("NetworkPolicy", "deny", spec={"podSelector": {}, "policyTypes": ["Ingress"]})
OTHERS = (deployment("cart"), service("cart"), deployment("payments"), service("payments"))


def test_policies_are_written_applied_and_the_plan_goes_on(place: Path, command: Command) -> None:
    """waypoint.md 4: generated and shown before adoption."""
    kept = place / "networkpolicies.yaml"
    assert not kept.exists()
    inv = place / "inventory.json"
    inv.write_bytes(folder.inventories.dump_json(inventory(healthy(*OTHERS, DENY))))
    ended = command("assess", "-o", "json")
    assert ended.code == Exit.BLOCKED
    assert {one["check"] for one in ended.json if one["severity"] == "blocker"} == {"waypoint-policy"}
    assert command("plan").code == Exit.BLOCKED
    made = list(yaml.safe_load_all(kept.read_text()))
    assert {item["metadata"]["name"] for item in made} == {"landbridge-waypoint", "landbridge-leaf-deny"}
    assert "&id" not in kept.read_text()
    inv.write_bytes(folder.inventories.dump_json(inventory(healthy(*OTHERS, DENY, *made))))
    assert command("assess").code == Exit.DONE
    assert not kept.exists()
    plan = command("plan")
    assert plan.code == Exit.DONE
    assert "NetworkPolicy shop landbridge-waypoint" in (place / "plan.yaml").read_text(), "copied to the target"
