"""The lab's load generator: a fixed rate whatever the answers (open loop), every request counted by what became of it.

Used by `landbridge lab load`, in pods or in the lab's network namespaces. Standard library alone, but for gRPC.
"""

from landbridge.lab.load.generator import generate
from landbridge.lab.load.target import Mode, Target, parse_url, read_targets

__all__ = ["Mode", "Target", "generate", "parse_url", "read_targets"]
