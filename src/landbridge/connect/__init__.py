"""Joins two clusters: gateway, waypoints, certificates and links; adopts Services; leaves nothing behind."""
