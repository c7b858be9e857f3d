"""The pictures of the docs: as old as the page, not too large, and all of them shown somewhere."""

import json
import re

import pictures
from running_server import ROOT

NOTE = json.loads(pictures.NOTE.read_text())


def test_the_pictures_are_of_this_page() -> None:
    assert NOTE["page"] == pictures.hash_of_page(), "the page has changed since: make pictures"


def test_the_pictures_are_small() -> None:
    sizes = {file.name: file.stat().st_size for file in pictures.PICTURES.iterdir() if file != pictures.NOTE}

    assert sizes == NOTE["bytes"]
    for name, size in sizes.items():
        assert size <= (pictures.MOST_GIF_BYTES if name.endswith(".gif") else pictures.MOST_PNG_BYTES), name


def test_each_picture_is_shown_in_the_docs() -> None:
    pages = "".join(file.read_text() for file in (ROOT / "README.md", ROOT / "docs" / "playground.md"))

    shown = {path.rpartition("/")[2] for path in re.findall(r"pictures/[\w.-]+", pages)}
    assert shown == set(NOTE["bytes"])
