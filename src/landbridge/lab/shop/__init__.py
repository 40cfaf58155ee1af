"""The shop: real programs that call each other, for the lab's clusters to run and for landbridge to move.

| service | speaks | calls | keeps state in |
|---|---|---|---|
| web | HTTP | catalog, cart, users, orders | |
| catalog, users | HTTP | | |
| cart | HTTP | stock | Redis |
| orders | HTTP | users, stock, payments | PostgreSQL, Redis |
| payments | HTTP | ledger | |
| stock | gRPC | | Redis |
| ledger | TCP, the server speaks first | | Redis |
| notices | HTTP, streams of events | | reads both |
| report | a CronJob | | PostgreSQL |

Each runs by `python -m landbridge.lab.shop.<service>`, is told by its environment, says in every answer which cluster
served it (`wire.trail`), and can be broken in one cluster alone at run time (`wire.fault`).
"""

from landbridge.lab.shop.endpoints import ENDPOINTS, Endpoint, Kind, endpoints
from landbridge.lab.shop.objects import PARTS, manifests

__all__ = ["ENDPOINTS", "PARTS", "Endpoint", "Kind", "endpoints", "manifests"]
