"""The tables of docs/api.md hold what the code says: routes, fields, headers, endings and errors."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import create_app
from blueprints import web
from parley import errors, turn
from parley.settings import Settings
from parley.wire import platforms, request, strict_json, validation

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "api.md").read_text()
NOT_DOCUMENTED = {"HEAD", "OPTIONS"}


def table(first_head: str) -> list[list[str]]:
    """The cells of the rows under the table's head whose first cell this is."""
    lines = PAGE.partition(f"\n| {first_head} |")[2].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    assert rows, first_head
    return rows


def codes(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def subclasses(of: type) -> Iterator[type]:
    for kind in of.__subclasses__():
        yield kind
        yield from subclasses(kind)


def codes_given_where_raised() -> dict[str, set[int]]:
    """The `code=` of every error that is made under the product's folders, with the status of its class."""
    found: dict[str, set[int]] = {}
    for file in [*ROOT.glob("parley/**/*.py"), *ROOT.glob("blueprints/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            kind = getattr(errors, ast.unparse(node.func).split(".")[-1], None) if isinstance(node, ast.Call) else None
            if isinstance(kind, type) and issubclass(kind, errors.ParleyError):
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        found.setdefault(keyword.value.value, set()).add(kind.status)
    return found


def test_the_routes_are_those_of_the_app() -> None:
    rules = create_app(Settings()).url_map.iter_rules()

    documented = {(method, path) for method, paths, _ in table("method") for path in codes(paths)}

    assert documented == {
        (method, rule.rule.replace("<text:session>", "<session>").replace("<", "{").replace(">", "}"))
        for rule in rules
        for method in (rule.methods or set()) - NOT_DOCUMENTED
    }


def test_every_own_field_is_listed_and_no_other() -> None:
    assert {row[0].strip("`") for row in table("field")} == request.OUR_FIELDS


def test_the_query_parameters_are_those_that_are_read() -> None:
    read = re.findall(r'query\.get\("(\w+)"', Path(request.__file__).read_text())

    explicit = [source for (source,) in platforms.EXPLICIT.sessions if source.place == "query"]
    assert {row[0].strip("`") for row in table("query parameter")} == {*read, *(source.path[0] for source in explicit)}


def test_the_limits_of_a_body_are_those_that_are_checked() -> None:
    checks = PAGE.partition("## Request fields")[2].partition("## Headers")[0].replace("100 000", "100000")
    limits = (
        validation.MAX_MESSAGES,
        validation.MAX_MODEL_CHARACTERS,
        validation.MAX_FILTERS,
        validation.MAX_WAITING_MS,
        strict_json.MAX_VALUES,
        strict_json.MAX_DEPTH,
    )

    assert [limit for limit in limits if not re.search(rf"\b{limit}\b", checks)] == []
    assert codes(checks) >= validation.ROLES


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("OpenAI's fields", request.OPENAI_FIELDS),
        ("common extensions", request.EXTENSION_FIELDS),
        ("fields of the voice platform", platforms.PRIVATE_FIELDS),
        ("inside of a message", request.MESSAGE_FIELDS),
        ("other fields of a message", request.PRIVATE_MESSAGE_FIELDS | {"LLM_FORWARD_FIELDS", "*"}),
    ],
)
def test_what_goes_upstream_is_what_the_code_lets_through(part: str, fields: frozenset[str]) -> None:
    (row,) = [row for row in table("part of the request") if row[0] == part]

    assert codes(row[1]) == fields


def test_every_header_that_is_read_or_sent_is_listed() -> None:
    source = Path(web.__file__).read_text()
    read = set(re.findall(r'request\.headers\.get\("([\w-]+)"', source)) | {"X-Request-ID"}
    sent = set(re.findall(r'response\.headers\["([\w-]+)"\]', source)) | web.EVENT_STREAM_HEADERS.keys()

    def listed(head: str) -> str:
        return " ".join(row[0] for row in table(head)).lower()

    assert [name for name in read if name.lower() not in listed("request header")] == []
    assert [name for name in sent if name.lower() not in listed("response header")] == []


def test_the_headers_that_go_upstream_are_listed() -> None:
    chat_api = ast.parse((ROOT / "parley" / "upstream" / "chat_api.py").read_text())
    (ask,) = [node for node in ast.walk(chat_api) if isinstance(node, ast.FunctionDef) and node.name == "_ask"]
    keys = {
        key.value
        for node in ast.walk(ask)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }
    sentence = PAGE.partition("Headers that go upstream:")[2].partition("\n\n")[0]

    assert {name.lower() for name in codes(sentence)} == keys | {"authorization"}


def test_the_endings_are_those_of_a_turn() -> None:
    drawn = (turn.__doc__ or "").partition("log line:\n\n")[2].partition("\n\n")[0]

    assert [codes(row[-1]) for row in table("ending")] == [{line.split()[-1]} for line in drawn.splitlines()]


@pytest.mark.slow
def test_every_error_is_listed_with_its_status_type_and_fallback() -> None:
    listed = {(code.strip("`"), int(status), kind.strip("`"), last) for code, status, kind, _, last in table("code")}
    kinds = [kind for kind in subclasses(errors.ParleyError) if kind is not errors.UpstreamRefused]
    of_classes = {(kind.code, kind.status, kind.type, "yes" if kind.speakable else "no") for kind in kinds}

    assert {row for row in of_classes if row not in listed} == set()
    given = codes_given_where_raised()
    assert {code for code, *_ in listed} == {code for code, *_ in of_classes} | given.keys()
    statuses = {code: status for code, status, *_ in listed}
    assert {code: {statuses[code]} for code in given} == given


def test_an_error_object_is_of_the_form_that_the_page_shows() -> None:
    shown = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]

    response = create_app(Settings()).test_client().post("/chat/completions", data=b"{}")

    assert response.status_code == 400
    assert response.get_json() == json.loads(shown)
