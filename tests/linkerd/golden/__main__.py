from __future__ import annotations

from tests.linkerd.golden import main

main()
