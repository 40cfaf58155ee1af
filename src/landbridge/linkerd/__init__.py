"""Linkerd's objects as data, for exactly the version that a cluster has (pure)."""
