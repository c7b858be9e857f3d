"""`GET /metrics`: what Prometheus reads; behind the key where keys are set."""

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from blueprints.web import check_key
from parley.telemetry import metrics

bp = Blueprint("metrics", __name__)


@bp.get("/metrics")
def show_metrics() -> Response:
    """The metrics of all workers, or of this one where they share no folder."""
    check_key()
    return Response(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)
