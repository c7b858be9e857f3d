"""About the server itself: `GET /health`, `/ready`, `/models`, `/metrics` and `/openapi.json`.

/health: alive. /ready: able to answer, or why not. /models and /metrics are behind the key where keys are set.
"""

from pathlib import Path
from typing import Any

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from blueprints.web import check_key, json_response, may_see_details, services
from parley.telemetry import metrics

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


def list_models() -> Response:
    """The default model first, then what the upstream lists."""
    check_key()
    own = {"id": services().default_model, "object": "model", "created": 0, "owned_by": "upstream"}
    listed = {model["id"]: model for model in services().upstream.models()}
    models = {own["id"]: own, **listed} if own["id"] else listed
    return json_response({"object": "list", "data": list(models.values())})


for path in ("", "/rag", "/audio"):
    bp.get(f"{path}/models")(list_models)
    bp.get(f"{path}/v1/models")(list_models)
    bp.get(f"/v1{path}/models")(list_models) if path else None


@bp.get("/metrics")
def show_metrics() -> Response:
    """The metrics of all workers, or of this one where they share no folder."""
    check_key()
    return Response(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)


DOCUMENT = Path(__file__).with_name("openapi.json")


@bp.get("/openapi.json")
def openapi() -> Response:
    """The document beside this file."""
    return json_response(DOCUMENT.read_bytes())
