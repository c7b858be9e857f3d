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
HEIGHTS = {1200: 800, 390: 780}
"""Heights of the pictures by their widths."""
SHOTS = {
    ("light", 1200): ("try", "turns", "live", "knowledge"),
    ("dark", 1200): ("try", "turns", "live", "knowledge"),
    ("light", 390): ("try",),
    ("dark", 390): ("turns",),
}
"""Views of which pictures are taken, by scheme and width."""
FILM = (1280, 1040)
FILM_WIDTH = 900
FRAME_SECONDS = 0.14
FILM_SECONDS = 10.0
COLOURS = 160
HEARD_WORDS = 13
"""Words that are heard before the caller of the film interrupts."""
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
            for (scheme, width), views in SHOTS.items():
                for view in views:
                    with opened(browser, server, scheme, (width, HEIGHTS[width]), view) as page:
                        SCENES[view](page)
                        write_png(page.screenshot(), PICTURES / f"{view}-{scheme}-{width}.png")
            with opened(browser, server, "light", FILM, "try", moving=True) as page:
                write_film(film(page), PICTURES / "try.gif")
            browser.close()
    files = {file.name: file.stat().st_size for file in sorted(PICTURES.iterdir()) if file != NOTE}
    NOTE.write_text(json.dumps({"page": hash_of_page(), "bytes": files}, indent=2) + "\n")


@contextlib.contextmanager
def opened(
    browser: Browser, server: RunningServer, scheme: str, size: tuple[int, int], view: str, *, moving: bool = False
) -> Iterator[Page]:
    """Yield a view in a window of its own."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="no-preference" if moving else "reduce",
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(f"{server.url}/playground#{view}")
    page.locator(f"#panel-{view}").wait_for()
    yield page
    context.close()


def choose_speech(page: Page) -> None:
    """Have the view Try ask for spoken answers from the knowledge."""
    page.locator("label", has=page.locator("#endpoint-audio")).click()
    page.get_by_text("Fields and instructions").click()
    page.locator("#grounded").check()
    page.get_by_text("Fields and instructions").click()


def show_try(page: Page) -> None:
    """Have a conversation of two turns, the second interrupted."""
    choose_speech(page)
    ask(page, "When are you open?")
    expect(page.locator("[data-state=complete]")).to_be_visible(timeout=60_000)
    # The words are there before their sound has ended.
    expect(page.locator("#interrupt")).to_be_disabled(timeout=60_000)
    ask(page, QUESTION)
    expect(page.locator(".word.heard", has_text="dollars")).to_be_attached(timeout=60_000)
    page.keyboard.press("Escape")
    page.wait_for_timeout(600)


def show_turns(page: Page) -> None:
    """Open a turn that took a look-up."""
    page.locator("tr.turn", has_text="rag").filter(has_text="complete").locator(".opener").first.click()


def show_live(page: Page) -> None:
    """Wait for a second and a third reading."""
    page.wait_for_timeout(11_000)


def show_knowledge(page: Page) -> None:
    """Search for what the sample knowledge has."""
    ask_knowledge = page.locator("#search-question")
    ask_knowledge.fill(QUESTION)
    ask_knowledge.press("Enter")
    page.locator(".hits .hit").first.wait_for()


SCENES = {"try": show_try, "turns": show_turns, "live": show_live, "knowledge": show_knowledge}
"""Views, each with what is done before its picture is taken."""


def ask(page: Page, question: str) -> None:
    """Send a question."""
    page.locator("#words").fill(question)
    page.keyboard.press("Enter")


def film(page: Page) -> dict[float, bytes]:
    """Return the frames of ten seconds, by their moments: a question, its answer as it is heard, an interruption."""
    choose_speech(page)
    frames: dict[float, bytes] = {}
    began = time.monotonic()
    interrupts = False
    steps = list(QUESTION)
    page.locator("#words").focus()
    while (moment := time.monotonic() - began) < FILM_SECONDS:
        frames[moment] = page.screenshot()
        # Two characters a frame, as somebody types.
        for character in steps[:2]:
            page.keyboard.type(character)
        if steps and not steps[2:]:
            page.keyboard.press("Enter")
        steps = steps[2:]
        if not interrupts and page.locator(".word.heard").count() > HEARD_WORDS:
            page.keyboard.press("Escape")
            interrupts = True
        page.wait_for_timeout(max(0.0, 1000 * (began + moment + FRAME_SECONDS - time.monotonic())))
    return frames


def write_png(shot: bytes, file: Path) -> None:
    """Write a picture with few colours, rare ones among them, which a page of text does not miss."""
    whole = Image.open(BytesIO(shot)).convert("RGB")
    image = whole.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    image.save(file, optimize=True)
    if file.stat().st_size > MOST_PNG_BYTES:
        raise SystemExit(f"{file.name} has {file.stat().st_size} bytes, {MOST_PNG_BYTES} are the most")


def write_film(frames: Mapping[float, bytes], file: Path) -> None:
    """Write the frames, each with the moment at which it was taken, as a moving picture."""
    moments = list(frames)
    size = FILM_WIDTH, FILM_WIDTH * FILM[1] // FILM[0]
    images = [
        Image.open(BytesIO(shot)).convert("RGB").resize(size, Image.Resampling.LANCZOS) for shot in frames.values()
    ]
    # One palette for all: what does not change then costs nothing.
    palette = images[-1].quantize(64, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    drawn = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    lasts = [round(1000 * (then - now)) for now, then in zip(moments, [*moments[1:], moments[-1] + 1.5], strict=True)]
    drawn[0].save(file, save_all=True, append_images=drawn[1:], duration=lasts, loop=0, optimize=True)
    if file.stat().st_size > MOST_GIF_BYTES:
        raise SystemExit(f"{file.name} has {file.stat().st_size} bytes, {MOST_GIF_BYTES} are the most")


if __name__ == "__main__":
    write_all()
