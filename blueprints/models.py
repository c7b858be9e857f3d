"""`GET /models`: the models that can be asked for."""

from flask import Blueprint, Response

from blueprints.web import check_key, json_response, services

bp = Blueprint("models", __name__)


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
