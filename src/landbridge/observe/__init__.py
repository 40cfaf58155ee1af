"""Metrics providers: what answers how much traffic went where, and how it went."""
