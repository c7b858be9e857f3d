"""Checks of the fields that we use; each faulty one is refused by its name.

All other fields are for the upstream to judge.
"""

from collections.abc import Mapping
from typing import Any

from parley.errors import InvalidRequest
from parley.wire import first_chunk

MAX_MESSAGES = 4096
"""Most messages of a conversation."""
MAX_MODEL_CHARACTERS = 256
MAX_FILTERS = 16
MAX_WAITING_MS = 60_000
"""Longest wait for a waiting message, in milliseconds."""
CLEANUPS = ("off", "thoughts", "speech")
"""Ways in which an answer's text is cleaned for a voice."""
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


_FORMS: Mapping[str, tuple[type, str]] = {
    "stream": (bool, "true or false"),
    "stream_options": (dict, "an object"),
    "audio": (dict, "an object"),
    "agent": (str, "a string"),
    "asset": (str, "a string"),
    "kb": (str, "a string"),
    "include_citations": (bool, "true or false"),
    "rag": (bool, "true or false"),
}
"""Fields of which the type alone is checked, and how a message names it."""


def check(body: Mapping[str, Any]) -> None:
    """Check the fields of a request's body. Raises InvalidRequest whose `param` names the field."""
    model, modalities, waiting = body.get("model"), body.get("modalities"), body.get("waiting")
    if model is not None and not (
        # It goes into log lines and headers: no line breaks, no control characters.
        isinstance(model, str) and model.isprintable() and len(model) <= MAX_MODEL_CHARACTERS
    ):
        form = f"a string of at most {MAX_MODEL_CHARACTERS} printable characters"
        raise InvalidRequest(f"model must be {form}", param="model")
    _check_messages(body)
    for name, (kind, form) in _FORMS.items():
        if body.get(name) is not None and not isinstance(body[name], kind):
            raise InvalidRequest(f"{name} must be {form}", param=name)
    check_cleanup(body.get("speech_cleanup"))
    _check_filters(body.get("filters"))
    if body.get("first_chunk") is not None and (fault := first_chunk.fault_of(body["first_chunk"])):
        raise InvalidRequest(f"first_chunk {fault}", param="first_chunk")
    if modalities is not None and not (
        isinstance(modalities, list) and all(isinstance(modality, str) for modality in modalities)
    ):
        raise InvalidRequest("modalities must be a list of strings", param="modalities")
    # True and False are ints to Python.
    is_number = isinstance(waiting, int) and not isinstance(waiting, bool) and 0 <= waiting <= MAX_WAITING_MS
    if waiting not in (None, "always", "off") and not is_number:
        form = f"always, off, or milliseconds from 0 to {MAX_WAITING_MS}"
        raise InvalidRequest(f"waiting must be {form}", param="waiting")


def check_cleanup(cleanup: Any) -> None:
    """Check the field `speech_cleanup`. Raises InvalidRequest."""
    # A tuple, because the value may be of a type that has no hash.
    if cleanup not in (None, *CLEANUPS):
        raise InvalidRequest(f"speech_cleanup must be one of {', '.join(CLEANUPS)}", param="speech_cleanup")


def _check_filters(filters: Any) -> None:
    if filters is not None and not (
        isinstance(filters, dict)
        and len(filters) <= MAX_FILTERS
        and all(isinstance(value, str | int) for value in filters.values())
    ):
        raise InvalidRequest(
            f"filters must be an object of at most {MAX_FILTERS} strings, whole numbers, true or false", param="filters"
        )


def _check_messages(body: Mapping[str, Any]) -> None:
    if body.get("messages") is None:
        raise InvalidRequest("messages is missing", code="missing_field", param="messages")
    messages = body["messages"]
    if not isinstance(messages, list) or not 0 < len(messages) <= MAX_MESSAGES:
        raise InvalidRequest(f"messages must be a list of 1 to {MAX_MESSAGES} messages", param="messages")
    for number, message in enumerate(messages):
        _check_message(message, f"messages[{number}]")


def _check_message(message: Any, path: str) -> None:
    if not isinstance(message, dict):
        raise InvalidRequest(f"{path} must be an object", param=path)
    role = message.get("role")
    if role is None:
        raise InvalidRequest(f"{path}.role is missing", code="missing_field", param=f"{path}.role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(f"{path}.role must be one of {', '.join(sorted(ROLES))}", param=f"{path}.role")
    if message.get("content") is not None:
        _check_content(message["content"], f"{path}.content")
    # An assistant's message may hold tool calls or audio instead.
    elif role != "assistant":
        raise InvalidRequest(f"{path}.content is missing", code="missing_field", param=f"{path}.content")


def _check_content(content: Any, path: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise InvalidRequest(f"{path} must be a string or a list of parts", param=path)
    for number, part in enumerate(content):
        if not isinstance(part, str | dict):
            raise InvalidRequest(f"{path}[{number}] must be an object or a string", param=f"{path}[{number}]")
