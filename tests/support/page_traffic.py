"""A scripted model and callers of several platforms, so that the playground's page has something to show."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import requests
from fake_upstream import Call, Step, answer, refusal

from parley.operators.platform_requests import Message
from parley.operators.platforms import PLATFORMS

ANSWERS = {
    "tune-up": "A tune-up costs 65 dollars and takes one day. It includes brakes and gears. Shall I book one?",
    "open": "We are open from Monday to Saturday, nine to six.",
    "student": "Students get ten percent off on repairs, with their card.",
    "fail": "Let me see whether",
}
"""Answers by a word of the question."""
QUESTIONS = ("How much is a tune-up?", "When are you open?", "Is there a discount for students?")


def script_of(call: Call) -> Iterator[Step]:
    """Yield the steps of an answer, after the time that a model takes to think."""
    said = call.body.decode().rpartition('"user"')[2].lower()
    found = next((text for word, text in ANSWERS.items() if word in said), "I can look that up for you.")
    chosen = random.Random(call.body)
    yield chosen.uniform(0.18, 0.5)
    if "fail" in said:
        yield from refusal(503, {"message": "overloaded"})
    else:
        yield from answer(found, interval=chosen.uniform(0.015, 0.04))


def call_often(url: str, count: int = 60) -> None:
    """Have callers of several platforms ask the server, a few at once; some leave early, some are refused."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: call_once(url, number), range(count)))


def call_once(url: str, number: int) -> None:
    """Ask once, as the platform whose turn it is."""
    names = ("agora", "vapi", "elevenlabs", "livekit", "curl", "agora")
    platform = PLATFORMS[names[number % len(names)]]
    question = "Please fail." if number % 17 == 5 else QUESTIONS[number % len(QUESTIONS)]
    body = platform.request([Message("user", question)], "gpt-4o-mini")
    endpoint = "" if number % 3 == 0 else "/rag"
    if number % 13 == 7:
        body["messages"] = "none"
    # A caller who interrupts closes the connection.
    with requests.post(f"{url}{endpoint}/chat/completions", json=body, stream=True, timeout=20) as response:
        if number % 7 == 3:
            next(response.iter_content(1), None)
        else:
            response.content  # noqa: B018 - read to the end
