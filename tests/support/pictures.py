"""The pictures of the docs, taken of the page in a real browser: `make pictures` writes docs/pictures/.

The server is the real one with the sample knowledge and the embedded voice; a scripted model stands behind it. With the
pictures a hash of the page's files is noted, so that a test tells when the page has changed since.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

from fake_upstream import FakeUpstream
from page_traffic import call_often, script_of
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from running_server import ROOT, RunningServer, running_server

PAGE = ROOT / "blueprints" / "playground_page"
PICTURES = ROOT / "docs" / "pictures"
NOTE = PICTURES / "pictures.json"
MOST_PNG_BYTES = 120_000
MOST_GIF_BYTES = 600_000
SIZES = {1200: 800, 390: 780}
"""Widths of the pictures, and their heights."""
FILM = (900, 640)
FRAME_SECONDS = 0.14
FILM_SECONDS = 10.0
COLOURS = 96
QUESTION = "How much is a tune-up?"
SETTINGS = {"AUDIO_MODE": "speech", "RAG_TIER": "", "WAITING_MESSAGES": "One moment, I am checking."}
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


def hash_of_page() -> str:
    """Return a hash of all files of the page."""
    found = hashlib.sha256()
    for file in sorted(PAGE.rglob("*")):
        if file.is_file():
            found.update(f"{file.relative_to(PAGE).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return found.hexdigest()


def write_all() -> None:
    """Write all pictures and the note on them."""
    PICTURES.mkdir(exist_ok=True)
    with FakeUpstream() as upstream, running_server({"LLM_BASE_URL": upstream.base_url, **SETTINGS}) as server:
        upstream.script = script_of
        call_often(server.url)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            for scheme in ("light", "dark"):
                for width, height in SIZES.items():
                    with opened(browser, server, scheme, width, height) as page:
                        for view, show in SCENES.items():
                            show(page)
                            write_png(page.screenshot(), PICTURES / f"{view}-{scheme}-{width}.png")
            with opened(browser, server, "light", *FILM) as page:
                write_film(film(page), PICTURES / "try.gif")
            browser.close()
    files = {file.name: file.stat().st_size for file in sorted(PICTURES.iterdir()) if file != NOTE}
    NOTE.write_text(json.dumps({"page": hash_of_page(), "bytes": files}, indent=2) + "\n")


@contextlib.contextmanager
def opened(browser: Browser, server: RunningServer, scheme: str, width: int, height: int) -> Iterator[Page]:
    """Yield the page in a window of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(f"{server.url}/playground")
    yield page
    context.close()


def write_png(shot: bytes, file: Path) -> None:
    """Write a picture with few colours, which a page of text does not miss."""
    image = Image.open(BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(file, optimize=True)
    if file.stat().st_size > MOST_PNG_BYTES:
        raise SystemExit(f"{file.name} has {file.stat().st_size} bytes, {MOST_PNG_BYTES} are the most")


def write_film(frames: Mapping[float, bytes], file: Path) -> None:
    """Write the frames, each with the moment at which it was taken, as a moving picture."""
    moments = list(frames)
    images = [Image.open(BytesIO(shot)).convert("RGB") for shot in frames.values()]
    # One palette for all: what does not change then costs nothing.
    palette = images[len(images) // 2].quantize(64, dither=Image.Dither.NONE)
    drawn = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    lasts = [round(1000 * (then - now)) for now, then in zip(moments, [*moments[1:], moments[-1] + 1.5], strict=True)]
    drawn[0].save(file, save_all=True, append_images=drawn[1:], duration=lasts, loop=0, optimize=True)
    if file.stat().st_size > MOST_GIF_BYTES:
        raise SystemExit(f"{file.name} has {file.stat().st_size} bytes, {MOST_GIF_BYTES} are the most")
