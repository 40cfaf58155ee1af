"""Anything that runs somewhere, as Kubernetes objects for the target. Pure."""
