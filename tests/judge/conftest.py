"""Pure tests have no deadline: a busy machine is no defect."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("pure", deadline=None)
settings.load_profile("pure")
