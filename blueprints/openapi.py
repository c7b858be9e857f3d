"""`GET /openapi.json`: every route, described for people and machines."""

from pathlib import Path

from flask import Blueprint, Response

from blueprints.web import json_response

bp = Blueprint("openapi", __name__)
DOCUMENT = Path(__file__).with_suffix(".json")


@bp.get("/openapi.json")
def openapi() -> Response:
    """The document beside this file."""
    return json_response(DOCUMENT.read_bytes())
