"""Envoy resources as data: what the agent writes for its own Envoy and how it reads the counters back. Pure.

`state` is what is wanted, `render.files()` makes the xDS files of it, `render.steps()` says how to go from one set to
the next, `bootstrap.bootstrap()` is what Envoy starts with, `counters` reads the admin interface's JSON.
"""
