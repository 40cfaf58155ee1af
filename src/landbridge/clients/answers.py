"""An API server's refusals, as errors of ours that say what to do."""

from __future__ import annotations

from typing import Any

from landbridge.clients.http import Answer
from landbridge.errors import AccessError, DriftError, LandbridgeError


class ApiError(LandbridgeError):
    """The API server refused an object or a request as wrong."""


class NotFoundError(ApiError):
    """There is no such object."""


class GoneError(ApiError):
    """The resourceVersion is older than the server remembers (HTTP 410): list again."""


class ConflictError(DriftError):
    """The object exists, was changed meanwhile, or a field belongs to another manager."""

    def __init__(self, what: str, *, where: str = "", advice: str = "", managers: tuple[str, ...] = ()) -> None:
        super().__init__(what, where=where, advice=advice)
        self.managers = managers


class ForbiddenError(AccessError):
    """We may not do this; the message names the verb and the resource."""


class UnavailableError(AccessError):
    """The API server did not answer, or answered that it cannot now: trying again later may help."""


def failure(answer: Answer, cluster: str) -> LandbridgeError:
    """The error for an answer of 400 and above."""
    status = _status(answer)
    message = str(status.get("message") or answer.reason or answer.status)
    where = f"{cluster} {answer.method} {answer.path}"
    match answer.status:
        case 401:
            return AccessError(
                f"the cluster {cluster!r} does not know our credentials",
                where=where,
                advice="renew them (log in again, or correct the user of this context in the kubeconfig)",
            )
        case 403:
            return ForbiddenError(
                f"the cluster {cluster!r} forbids this: {message}",
                where=where,
                advice="grant it with the roles in docs/permissions.md",
            )
        case 404:
            return NotFoundError(message, where=where)
        case 409:
            managers = _managers(status)
            return ConflictError(message, where=where, advice="look who else writes this object", managers=managers)
        case 410:
            return GoneError(message, where=where)
        case 500 if "typed patch" in message:  # so does server-side apply say that a field is unknown
            return ApiError(f"the cluster {cluster!r} refused: {message}", where=where)
        case 429 | 500 | 502 | 503 | 504:
            return UnavailableError(f"the cluster {cluster!r} cannot answer now: {message}", where=where)
        case _:
            return ApiError(f"the cluster {cluster!r} refused: {message}", where=where)


def _status(answer: Answer) -> dict[str, Any]:
    try:
        status = answer.json()
    except ValueError:
        return {"message": answer.text.strip()[:300]}
    return status if isinstance(status, dict) else {}


def _managers(status: dict[str, Any]) -> tuple[str, ...]:
    """The field managers of a server-side apply conflict, from `conflict with "NAME" ...`."""
    causes = (status.get("details") or {}).get("causes") or ()
    named = [str(cause.get("message", "")).split('"') for cause in causes]
    return tuple(dict.fromkeys(parts[1] for parts in named if len(parts) > 1))
