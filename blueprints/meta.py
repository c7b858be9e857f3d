"""Endpoints about the server itself: `GET /`, `/health`, `/ready`, `/models`, `/metrics` and `/openapi.json`.

/health tells whether the process is alive, /ready whether it can answer, or why not. /models and /metrics need a key
if keys are set. All but /metrics and /openapi.json also answer under other paths, for platforms that expect them.
"""

from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST

from blueprints import page_access
from blueprints.web import check_key, json_response, may_see_details, prefixes, services
from parley.errors import UnknownAgent
from parley.telemetry import metrics

bp = Blueprint("meta", __name__)
QUOTED = "quoted from the knowledge"
"""Said of /rag where no model writes its answers."""
DOCUMENT = Path(__file__).with_name("openapi.json")
ROUTES = {
    "POST /chat/completions": "the model's answer, as OpenAI's chat completions",
    "POST /rag/chat/completions": "the same, from the knowledge base",
    "POST /audio/chat/completions": "the same, in speech",
    "GET /models": "the models that can be asked for",
    "GET /health": "whether the process is alive",
    "GET /ready": "whether calls may be sent here",
    "GET /metrics": "metrics for Prometheus",
    "GET /openapi.json": "the description of all this",
}
"""Routes that `GET /` shows; each route but the last four is served under /v1, too."""
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Parley</title>
<h1>Parley</h1>
<p>A server for voice agents. It answers OpenAI's chat completions:</p>
<ul>
{routes}
</ul>
</html>
"""
PAGE_HEADERS = {
    # Nothing of it can be executed, loaded or framed, whatever should ever get into it.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
}


@bp.get("/")
def index() -> Response:
    """Return a short page that leads on, or JSON for clients that prefer it; default health checks ask for it.

    A browser that is served the playground is led there.
    """
    wants_page = any(kind == "text/html" and quality > 0 for kind, quality in request.accept_mimetypes)
    if wants_page and page_access.is_served(request.environ, services().playground):
        # Relative, because a proxy may serve all this under a path of its own.
        return Response(status=303, headers={"Location": page_access.ROUTE.strip("/"), "Vary": "Accept"})
    if request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html") == "application/json":
        return json_response({"name": "Parley", "routes": ROUTES}, headers={"Vary": "Accept"})
    shown = [
        # Relative links, because a proxy may serve all this under a path of its own.
        f'<li><a href="{route.removeprefix("GET /")}">{route}</a>: {text}'
        if route.startswith("GET")
        else f"<li>{route}: {text}"
        for route, text in ROUTES.items()
    ]
    return Response(PAGE.format(routes="\n".join(shown)), headers=PAGE_HEADERS, content_type="text/html; charset=utf-8")


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
        unavailable = within.unavailable_reason()
        reason = unavailable.message if unavailable else ""
    answer: dict[str, Any] = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
    if within.start_fault:
        answer["warning"] = within.start_fault
    elif not within.has_model and not reason:
        answer["warning"] = f"no model is configured: /rag is {QUOTED}, all else answers with status 503"
    if may_see_details():
        # A stranger learns only whether calls may be sent here, not which upstreams answer or how busy they are.
        answer["details"] = {
            "model": within.default_model,
            **({"rag": QUOTED} if within.quotes else {}),
            "auth": "off" if within.keyring.is_open else "on",
            "streams": len(within.admission.running),
            **(within.link.details() if within.link else {"redis": "off"}),
            "upstreams": within.upstream.breaker_states(),
            **(within.hints.details() if within.hints else {}),
            **({"connection_faults": faults} if (faults := within.upstream.connection_faults()) else {}),
            "kb": within.knowledge.bases.state,
            "database": within.database_state,
            **({"embeddings": within.index_factory.state} if within.index_factory.state else {}),
            **(within.toolbox.details() if within.toolbox else {}),
            **(within.agents.details() if within.agents else {}),
            **({"voice": within.synthesis.description} if within.has_voice else {}),
        }
    return json_response(answer, 503 if reason else 200)


def list_models(agent: str = "", **_: str) -> Response:
    """List the agents first, then the default model, then those of the upstream. Raises InvalidApiKey, UnknownAgent."""
    check_key()
    agents = services().agents
    agent = agent or request.args.get("agent", "")
    if agent and (agents is None or not agents.has(agent)):
        # A client that tries its base URL learns here that a name in it is wrong.
        raise UnknownAgent("there is no agent of this name; GET /models lists them first", param="agent")
    # OpenAI's clients require `created` and `owned_by`; the true values are not known here.
    own = {"id": services().default_model, "object": "model", "created": 0, "owned_by": "upstream"}
    listed = {model["id"]: model for model in services().upstream.models()}
    # The default model keeps the first position, and gets the upstream's own entry if there is one.
    models = {own["id"]: own, **listed} if own["id"] else listed
    is_rag = request.url_rule is not None and "rag" in request.url_rule.rule.split("/")
    if services().quotes and (is_rag or not services().has_model):
        models = {name: {**model, "owned_by": f"parley ({QUOTED})"} for name, model in models.items()}
    if agents:
        named = {agent.name: agent_model(agent.name) for agent in agents.profiles}
        models = {**named, **{name: model for name, model in models.items() if name not in named}}
    return json_response({"object": "list", "data": list(models.values())})


def agent_model(name: str) -> dict[str, Any]:
    """Return an agent as an entry of the list of models: a request for it is answered by the agent."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "parley"}


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
