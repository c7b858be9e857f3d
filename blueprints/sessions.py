"""`DELETE /sessions/SESSION`: what is remembered of a conversation is forgotten. Nothing reads a session back."""

from urllib.parse import unquote

from flask import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from blueprints.web import check_key, services
from parley.errors import NotFound, ServerOverloaded
from parley.wire.platforms import clean

bp = Blueprint("sessions", __name__)
ROUTE = "/sessions/"


class AnyText(BaseConverter):
    """The rest of a path, which may begin with a slash: Agora's sessions hold some."""

    regex = ".+?"
    part_isolating = False


# Before the routes, which use it.
bp.record(lambda state: state.app.url_map.converters.update(text=AnyText))


@bp.delete("/sessions/<text:session>")
@bp.delete("/v1/sessions/<text:session>")
def forget(session: str) -> Response:
    """Delete a session of the caller's key: status 204, also if there is none.

    Raises InvalidApiKey, NotFound where nothing is remembered, ServerOverloaded if the store can't be used.
    """
    within = services()
    if not within.remembers:
        raise NotFound(f"there is no route {request.path}; nothing is remembered (MEMORY)")
    holder = check_key()
    # perf: saves 5 ms (a start without a memory)
    from parley.memory.sessions import session_key

    key = session_key(within.keyring.lasting_name(holder), clean(session_of_path(session)))
    if not within.sessions.forget(key):
        raise ServerOverloaded("the session could not be deleted; ask again", headers={"retry-after": "1"})
    return Response(status=204)


def session_of_path(session: str) -> str:
    """Return the session that the path names; `session` is what the route has made of it.

    As the client wrote it: decoded, an escaped slash at the beginning or the end is one of the path's own.
    """
    _, found, written = request.environ.get("RAW_URI", "").partition("?")[0].partition(ROUTE)
    return unquote(written.removesuffix("/")) if found else session
