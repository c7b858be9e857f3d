"""What the page does with what is dangerous: markup in data, the key, an address that browsers take for insecure."""

import json
import re
import threading

import pytest
from fake_upstream import FakeUpstream, answer, held
from playground import ask, copy_by, expect_state, last_answer, open_try, press_copy, say
from playwright.sync_api import Page, expect
from running_server import RunningServer
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.page]
KEY = "sk-callers-0123456789abcdef"
MARKUP = (
    "<img src=x onerror=alert(1)> </script><script>alert(2)</script> [x](javascript:alert(3)) \u202etxet <b>bold</b>"
)


@pytest.mark.row("PG-06")
def test_markup_is_shown_as_text(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer(MARKUP)
    open_try(page, patient)
    ask(page, MARKUP)

    expect(page.locator(".entry.user .text")).to_have_text(MARKUP)
    expect(last_answer(page).locator(".text")).to_have_text(MARKUP)
    upstream.script = answer(MARKUP)
    page.locator("#edit").click()
    expect(page.locator("#request")).not_to_have_value("")
    assert page.locator("main :is(img, b:not(.passage b), [onerror], [href^='javascript']), main script").count() == 0


@pytest.mark.row("PG-06")
def test_markup_in_the_knowledge_is_text(
    page: Page, servers: Servers, tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream
) -> None:
    folder = tmp_path_factory.mktemp("kb")
    passages = {
        "Tune-up <img src=x onerror=alert(1)>": "A tune-up costs 65 <b>dollars</b>.",
        "Opening hours": "We are open from nine to six.",
        "Carbon": "Frames made of carbon are not repaired here.",
    }
    (folder / "faq.json").write_text(json.dumps(passages))
    open_try(page, servers(KB_DIR=str(folder)), "rag")
    ask(page, "How much is a tune-up?")
    expect(page.locator("#passages li").first).to_contain_text("Tune-up")
    page.get_by_role("button", name="Why?").click()
    expect(page.locator(".why .text").first).to_contain_text("A tune-up costs 65")

    assert page.locator("main :is(img, script, [onerror])").count() == 0


@pytest.mark.row("PG-08")
def test_the_key_stays_in_the_tab(page: Page, servers: Servers, upstream: FakeUpstream) -> None:
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    server = servers(API_KEYS=KEY)
    page.goto(f"{server.url}/playground")
    field = page.locator("#key")
    assert [field.get_attribute(name) for name in ("type", "autocomplete")] == ["password", "off"]
    field.fill(KEY)
    field.press("Enter")
    expect(page.locator("#facts")).to_contain_text("model")
    page.locator("#endpoint-rag").check(force=True)
    ask(page, "Hello?")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save .sse").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    copied = copy_by(page, "curl")
    assert "$PARLEY_KEY" in copied
    stored = page.evaluate("[JSON.stringify(localStorage), document.cookie, JSON.stringify(sessionStorage)]")
    texts = [copied, saved.value.path().read_text(), page.url, *addresses, page.content(), *stored[:2]]
    assert not [text for text in texts if KEY in text]
    assert KEY in stored[2]
    page.reload()
    expect(field).to_have_value(KEY)
    expect(page.locator("#facts")).to_contain_text("model")


def test_plain_http_at_a_name_works(page: Page, servers: Servers, upstream: FakeUpstream) -> None:
    server = servers(API_KEYS=KEY, PLAYGROUND="on", WAITING_MESSAGES="One moment, please.")
    upstream.script = held("One two three four five.", {3: threading.Event()})
    page.goto(f"http://lan.test:{server.port}/playground")
    assert page.evaluate("isSecureContext") is False
    page.locator("#key").fill(KEY)
    page.locator("#key").press("Enter")
    open_try(page, server, "chat", host="lan.test")
    say(page, "Count")
    expect_state(page, "speaking")
    page.keyboard.press("Escape")
    expect_state(page, "interrupted")
    press_copy(page, "curl")
    upstream.script = answer("It costs 65 dollars.")
    page.locator("#endpoint-rag").check(force=True)
    ask(page, "How much is a tune-up?")
    expect(last_answer(page).locator(".waiting")).to_have_text("One moment, please.")
    page.locator("#endpoint-audio").check(force=True)
    ask(page, "Hello?")
    expect(page.locator("#sound-figures")).to_contain_text(re.compile("heard [1-9]"))
