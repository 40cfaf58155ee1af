"""Moves every service of a running platform to Kubernetes, a few percent of traffic at a time, and back."""

__version__ = "0.1.0"
