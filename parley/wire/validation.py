"""Checks of the fields that we use; each faulty one is refused by its name.

All other fields are for the upstream to judge.
"""

from collections.abc import Mapping
from typing import Any

from parley.errors import InvalidRequest

MAX_MESSAGES = 4096
"""Most messages of a conversation."""
MAX_MODEL_CHARACTERS = 256
MAX_FILTERS = 16
MAX_WAITING_MS = 60_000
"""Longest wait for a waiting message, in milliseconds."""
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


def check(body: Mapping[str, Any]) -> None:
    """Check the fields of a request's body. Raises InvalidRequest whose `param` names the field."""
    _check_model(body.get("model"))
    _check_messages(body)
    _check_type(body, "stream", bool, "true or false")
    _check_type(body, "stream_options", dict, "an object")
    _check_type(body, "audio", dict, "an object")
    _check_type(body, "asset", str, "a string")
    _check_type(body, "kb", str, "a string")
    _check_type(body, "include_citations", bool, "true or false")
    _check_filters(body.get("filters"))
    _check_type(body, "rag", bool, "true or false")
    _check_modalities(body.get("modalities"))
    _check_waiting(body.get("waiting"))


def _check_type(body: Mapping[str, Any], name: str, kind: type, form: str) -> None:
    if body.get(name) is not None and not isinstance(body[name], kind):
        raise InvalidRequest(f"{name} must be {form}", param=name)


def _check_model(model: Any) -> None:
    if model is None:
        return
    if not isinstance(model, str) or not model.isprintable() or len(model) > MAX_MODEL_CHARACTERS:
        raise InvalidRequest(
            f"model must be a string of at most {MAX_MODEL_CHARACTERS} printable characters", param="model"
        )


def _check_modalities(modalities: Any) -> None:
    if modalities is not None and not (
        isinstance(modalities, list) and all(isinstance(modality, str) for modality in modalities)
    ):
        raise InvalidRequest("modalities must be a list of strings", param="modalities")


def _check_filters(filters: Any) -> None:
    if filters is not None and not (
        isinstance(filters, dict)
        and len(filters) <= MAX_FILTERS
        and all(isinstance(value, str | int) for value in filters.values())
    ):
        raise InvalidRequest(
            f"filters must be an object of at most {MAX_FILTERS} strings, whole numbers, true or false", param="filters"
        )


def _check_waiting(waiting: Any) -> None:
    is_number = isinstance(waiting, int) and not isinstance(waiting, bool) and 0 <= waiting <= MAX_WAITING_MS
    if waiting not in (None, "always", "off") and not is_number:
        raise InvalidRequest(
            f"waiting must be always, off, or milliseconds from 0 to {MAX_WAITING_MS}", param="waiting"
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
