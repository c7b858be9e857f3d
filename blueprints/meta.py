"""Endpoints about the server itself: `GET /health`, `/ready`, `/models`, `/metrics` and `/openapi.json`.

/health tells whether the process is alive, /ready whether it can answer, or why not. /models and /metrics need a key
if keys are set. All but /metrics and /openapi.json also answer under other paths, for platforms that expect them.
"""

from pathlib import Path
from typing import Any

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from blueprints.web import check_key, json_response, may_see_details, prefixes, services
from parley.telemetry import metrics

bp = Blueprint("meta", __name__)
DOCUMENT = Path(__file__).with_name("openapi.json")


@bp.get("/health")
@bp.get("/healthz")
def health() -> Response:
    """Return status 200 while the process is alive, whatever the upstream does."""
    return json_response({"status": "ok"})


@bp.get("/ready")
@bp.get("/readyz")
def ready() -> Response:
    """Return status 200 if a question can be answered, else 503 with the reason; callers with a key get details."""
    within = services()
    if within.draining:
        reason = "the server is shutting down"
    elif within.knowledge.loading:
        reason = "the knowledge is being read"
    else:
        unavailable = within.upstream.unavailable_reason()
        reason = unavailable.message if unavailable else ""
    answer: dict[str, Any] = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
    if may_see_details():
        # A stranger learns only whether calls may be sent here, not which upstreams answer or how busy they are.
        answer["details"] = {
            "model": within.default_model,
            "auth": "off" if within.keyring.is_open else "on",
            "streams": len(within.admission.running),
            "upstreams": within.upstream.breaker_states(),
            **({"connection_faults": faults} if (faults := within.upstream.connection_faults()) else {}),
            "kb": within.knowledge.bases.state,
            **({"embeddings": within.index_factory.state} if within.index_factory.state else {}),
            **({"voice": within.synthesis.description} if within.has_voice else {}),
        }
    return json_response(answer, 503 if reason else 200)


def list_models(**_: str) -> Response:
    """List the default model first, then those of the upstream. Raises InvalidApiKey."""
    check_key()
    # OpenAI's clients require `created` and `owned_by`; the true values are not known here.
    own = {"id": services().default_model, "object": "model", "created": 0, "owned_by": "upstream"}
    listed = {model["id"]: model for model in services().upstream.models()}
    # The default model keeps the first position, and gets the upstream's own entry if there is one.
    models = {own["id"]: own, **listed} if own["id"] else listed
    return json_response({"object": "list", "data": list(models.values())})


# Platforms look for /models beside the completions URL that they were given, bare or under /v1.
for endpoint in ("", "/rag", "/audio"):
    for prefix in prefixes(endpoint):
        bp.get(f"{prefix}/models")(list_models)


@bp.get("/metrics")
def show_metrics() -> Response:
    """Return the metrics of all workers, or of this one if they share no folder. Raises InvalidApiKey."""
    check_key()
    return Response(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)


@bp.get("/openapi.json")
def openapi() -> Response:
    """Return the API's description, the file `openapi.json` beside this one."""
    return json_response(DOCUMENT.read_bytes())
