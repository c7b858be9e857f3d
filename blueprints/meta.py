"""`GET /health`: alive. `GET /ready`: able to answer, or why not."""

from typing import Any

from flask import Blueprint, Response

from blueprints.web import json_response, may_see_details, services

bp = Blueprint("meta", __name__)


@bp.get("/health")
@bp.get("/healthz")
def health() -> Response:
    """The process is alive; nothing else is asked."""
    return json_response({"status": "ok"})


@bp.get("/ready")
@bp.get("/readyz")
def ready() -> Response:
    """200 where a question can be answered, else 503 with the reason; details only for those with a key."""
    reason = _reason()
    answer: dict[str, Any] = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
    if may_see_details():
        answer["details"] = {
            "model": services().default_model,
            "auth": "off" if services().keyring.is_open else "on",
            "streams": len(services().admission.running),
            "upstreams": services().upstream.breaker_states(),
            "kb": services().knowledge.bases.state,
            **({"voice": services().synthesis.description} if services().has_voice else {}),
        }
    return json_response(answer, 503 if reason else 200)


def _reason() -> str | None:
    if services().draining:
        return "the server is shutting down"
    if services().knowledge.loading:
        return "the knowledge is being read"
    unavailable = services().upstream.unavailable_reason()
    return unavailable.message if unavailable else None
