"""docs/architecture.md: its map names every module, its layers are those that are held, its names exist."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
FILES = [ROOT / "app.py", ROOT / "gunicorn.conf.py", *ROOT.glob("blueprints/**/*.py"), *ROOT.glob("parley/**/*.py")]
SOURCE = "\n".join(file.read_text() for file in FILES)
RULES = runpy.run_path(str(ROOT / "tests" / "test_architecture.py"))


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, without heads and rules."""
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("|")]
    rules = [number for number, cells in enumerate(lines) if set("".join(cells)) <= set("-|")]
    return [
        [cell.strip() for cell in cells] for number, cells in enumerate(lines) if not {number, number + 1} & {*rules}
    ]


def test_the_map_names_every_module_once() -> None:
    named = re.findall(r"`([^`]+\.py)`", " ".join(cells[0] for cells in rows(section("Map"))))
    modules = [file.relative_to(ROOT).as_posix() for file in FILES if file.name != "__init__.py"]

    assert sorted(named) == sorted(modules)


def test_the_map_names_every_folder_of_the_package() -> None:
    named = re.findall(r"\*\*`([^`]+)/`\*\*", section("Map"))
    folders = [file.parent.relative_to(ROOT).as_posix() for file in ROOT.glob("parley/*/__init__.py")]

    assert {*folders, "parley", "blueprints"} == set(named)


def test_the_layers_are_those_that_are_held() -> None:
    layers = section("Who may import whom").partition("| layer, from the top")[2].partition("\n\n")[0]

    assert [set(re.findall(r"`([^`]+)`", cells[1])) for cells in rows(layers)] == list(RULES["LAYERS"])


def test_the_owners_of_libraries_are_those_that_are_held() -> None:
    owners = rows("| library |" + section("Who may import whom").partition("| library |")[2])

    listed = {
        library: tuple(re.findall(r"`([^`]+)`", cells[1]))
        for cells in owners
        for library in re.findall(r"`([^`]+)`", cells[0])
    }

    assert listed == RULES["OWNERS"]


def test_every_name_of_the_code_on_the_page_exists() -> None:
    text = re.sub(r"\]\([^)]*\)", "", PAGE)
    names = {
        name
        for code in re.findall(r"`([^`\n]+)`", text)
        for name in re.findall(r"\b[a-z_]+(?=\(\))|\b(?:[A-Z][a-z]+){2,}\b", code)
    }

    assert names
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", SOURCE)] == []


def test_every_path_on_the_page_exists() -> None:
    paths = re.findall(r"`((?:parley|blueprints|tests|bench)/[\w/.]*)`", PAGE)

    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_module_in_a_diagram_exists() -> None:
    diagrams = "\n".join(re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL))
    stems = {file.stem for file in FILES} | {file.parent.name for file in FILES}
    dotted = re.findall(r"\b(answers|admission|client_connection|upstream|knowledge|wire|turn|web)\.(\w+)", diagrams)

    for module, name in dotted:
        assert module in stems and (name in stems or re.search(rf"\b{name}\b", SOURCE)), f"{module}.{name}"


def test_the_glossary_is_in_order() -> None:
    terms = [cells[0] for cells in rows(section("Glossary"))]

    assert terms == sorted(terms) and len(terms) == len(set(terms))
