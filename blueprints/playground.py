"""`/playground`: a page on which the server can be tried and watched, and the data that it shows.

The page's files hold nothing secret. For whoever is not served the page, its routes are as any path that does not
exist, by whatever method; so each request comes here, and the table below tells what there is.
"""

from collections.abc import Callable
from pathlib import Path

from flask import Blueprint, Response, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Rule

from blueprints import page_access, page_files
from blueprints.web import services

bp = Blueprint("playground", __name__)
INDEX = "index.html"
FILES = page_files.read_files(Path(__file__).with_name("playground_page"))
READ = ("GET", "HEAD")
API: dict[str, tuple[tuple[str, ...], Callable[[], Response]]] = {}
"""Data by name: the methods of the route below /playground/api/, and what answers it."""


def answer(name: str = "") -> Response:
    """Return the page, a file of it or its data. Raises NotFound and MethodNotAllowed."""
    if not page_access.is_served(request.environ, services().playground):
        raise NotFound
    if request.path == f"{page_access.ROUTE}/":
        # The page's own links are relative, so that a proxy can serve it under a path of its own.
        return Response(status=308, headers={"Location": f"../{page_access.ROUTE.strip('/')}"})
    name = name or INDEX
    file = FILES.get(name)
    methods, respond = API.get(name.removesuffix("/"), (READ, None))
    if respond is None and (file is None or request.path.endswith(f"/{INDEX}")):
        raise NotFound
    if request.method not in methods:
        raise MethodNotAllowed(valid_methods=methods)
    if respond is not None:
        return respond()
    assert file is not None
    return page_files.file_response(file, request)


@bp.record
def add_rules(state: BlueprintSetupState) -> None:
    """Add the routes for every method: Flask's own rules would tell by status 405 that they exist."""
    state.app.view_functions["playground.answer"] = answer
    for rule in (page_access.ROUTE, f"{page_access.ROUTE}/<path:name>"):
        state.app.url_map.add(Rule(rule, endpoint="playground.answer", methods=None))
