"""A Service on the target: addresses and ports that the old cluster gave out are given out anew."""

from __future__ import annotations

import json
from typing import Any

from landbridge.model.service import Manifest, ServiceId
from landbridge.translate.rules import Rules

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def service(manifest: Manifest, original: Manifest, rules: Rules) -> list[str]:
    """Change a Service in place; `original` still has its managedFields and annotations."""
    spec = manifest["spec"]
    notes: list[str] = []
    headless = spec.get("clusterIP") == "None"
    for key in ("clusterIP", "clusterIPs"):
        value = spec.pop(key, None)
        if headless and value:
            spec[key] = value
    if not rules.same_ip_families:
        spec.pop("ipFamilies", None)
        spec.pop("ipFamilyPolicy", None)
    wanted = _by_hand(original)
    for port in spec.get("ports") or ():
        notes += _node_port(port, wanted, rules)
    if spec.get("healthCheckNodePort") and not wanted["health"]:
        spec.pop("healthCheckNodePort")
    if spec.pop("externalIPs", None):
        notes.append("externalIPs belong to the old network and were left out")
    if spec.pop("loadBalancerIP", None):
        notes.append("loadBalancerIP belongs to the old network and was left out")
    meta = manifest["metadata"]
    selector = rules.selectors.get(ServiceId(meta.get("namespace", ""), meta["name"]))
    if selector and not spec.get("selector"):
        spec["selector"] = dict(selector)
    return notes


def _node_port(port: dict[str, Any], wanted: dict[str, Any], rules: Rules) -> list[str]:
    number = port.get("nodePort")
    if not number:
        port.pop("nodePort", None)
        return []
    low, high, taken = rules.node_ports
    asked = number in wanted["numbers"] or (port["port"], port.get("protocol", "TCP")) in wanted["ports"]
    if asked and low <= number <= high and number not in taken:
        return []
    del port["nodePort"]
    return [f"node port {number} is not free on the target: another one is given out"] if asked else []


def _by_hand(original: Manifest) -> dict[str, Any]:
    """The node ports that a person chose: in last-applied-configuration, else in managedFields of an applier."""
    found: dict[str, Any] = {"numbers": set(), "ports": set(), "health": False}
    applied = (original["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if applied:
        try:
            spec = json.loads(applied).get("spec") or {}
        except (ValueError, AttributeError):
            spec = {}
        found["numbers"] = {port.get("nodePort") for port in spec.get("ports") or ()} - {None}
        found["health"] = bool(spec.get("healthCheckNodePort"))
        return found
    for entry in original["metadata"].get("managedFields") or ():
        fields = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        found["health"] |= "f:healthCheckNodePort" in fields
        for key, inner in (fields.get("f:ports") or {}).items():
            if key.startswith("k:") and "f:nodePort" in inner:
                which = json.loads(key[2:])
                found["ports"].add((which.get("port"), which.get("protocol", "TCP")))
    return found
