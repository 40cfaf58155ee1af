"""Routers: what divides the traffic of one service in one cluster, each behind the same port."""
