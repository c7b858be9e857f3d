"""One call to the running server as its caller hears it: the status, the words, and how it ended.

    heard = ask(server, "waited")
    heard.failed(502, "upstream_error")

The four ways to ask are `WAYS`. "waited" is /rag after its waiting message, where a failure can't be a status any more;
the servers of these tests have `WAITING_MESSAGES=Wait.`, so that `WAITED` is what they say first. Every end is checked
in the log too: exactly one line for the request.
"""

import dataclasses
import functools
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from fake_upstream import Call, FakeUpstream, Script, Step, answer, completion
from running_server import RunningServer

WAITED = "Wait. "
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/chat/completions", {"stream": True}),
    "rag": ("/rag/chat/completions", {"stream": True, "waiting": "off"}),
    "waited": ("/rag/chat/completions", {"stream": True}),
    "json": ("/chat/completions", {"stream": False}),
}
AUDIO = ("/audio/chat/completions", {"stream": True})
STREAMS = ("chat", "waited")
"""The ways that stream, and differ in how a failure is told."""
DIFFERENT = (*STREAMS, "json")
"""Without a waiting message /rag fails as /chat does."""
DONE = b"[DONE]"
FULL = 50
"""So many good answers fill a retry budget of ten; each gives a fifth of a retry."""


@dataclasses.dataclass(frozen=True)
class Heard:
    """An answer, read to its end."""

    server: RunningServer
    way: str
    id: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def frames(self) -> list[bytes]:
        """The stream's frames, comments included."""
        *frames, rest = self.body.split(b"\n\n")
        assert rest == b"", self.body
        return frames

    @property
    def payloads(self) -> list[bytes]:
        """The payloads of the events."""
        return [frame.removeprefix(b"data: ") for frame in self.frames if not frame.startswith(b":")]

    @property
    def comments(self) -> list[bytes]:
        """What stands behind the colons, but for the passages that /rag names."""
        behind = [frame.removeprefix(b": ") for frame in self.frames if frame.startswith(b":")]
        return [comment for comment in behind if not comment.startswith(b"citations ")]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The completion chunks, those of ours included."""
        parsed = [json.loads(payload) for payload in self.payloads if payload != DONE]
        return [chunk for chunk in parsed if "choices" in chunk]

    @property
    def choices(self) -> list[dict[str, Any]]:
        """The chunks' choices."""
        return [choice for chunk in self.chunks for choice in chunk["choices"]]

    @property
    def text(self) -> str:
        """The words, without the waiting message."""
        if self.way == "json":
            return str(json.loads(self.body)["choices"][0]["message"]["content"])
        words = "".join((choice.get("delta") or {}).get("content") or "" for choice in self.choices)
        if self.way == "waited":
            assert words.startswith(WAITED) and words.count(WAITED) == 1, words
        return words.removeprefix(WAITED) if self.way == "waited" else words

    @property
    def finish_reasons(self) -> list[str]:
        """All that were given."""
        return [choice["finish_reason"] for choice in self.choices if choice.get("finish_reason")]

    @functools.cached_property
    def end(self) -> dict[str, Any]:
        """The one line of the log."""
        return self.server.wait_for_end(self.id)

    def calls(self, upstream: FakeUpstream) -> list[Call]:
        """What it made of calls there."""
        return [call for call in list(upstream.calls) if call.headers["x-request-id"] == self.id]

    def answered(self, text: str, finish_reason: str = "stop") -> None:
        """It is a whole answer with these words."""
        assert self.status == 200, self.body
        assert (self.text, self.end["outcome"]) == (text, "ok"), self.body
        if self.way != "json":
            assert self.finish_reasons == [finish_reason] and self.payloads.count(DONE) == 1
            assert self.payloads[-1] == DONE and b'"error"' not in self.body

    def failed(self, status: int, code: str, logged: str | None = None) -> dict[str, Any]:
        """It failed before a word of the model, with this status where one can still be given; gives the error."""
        if self.way == "waited":
            assert self.status == 200 and self.text == "", self.body
            return self.broken(code, logged)
        assert (self.status, self.headers["content-type"]) == (status, "application/json"), self.body
        answer = json.loads(self.body)
        assert answer.keys() == {"error", "detail"} and answer["error"].keys() == {"message", "type", "param", "code"}
        assert answer["error"]["code"] == code and answer["detail"] == answer["error"]["message"]
        assert (self.end["outcome"], self.end["code"]) == ("error_before", logged or code)
        assert self.headers["x-relay-attempts"] == str(self.end["attempts"])
        return dict(answer["error"])

    def broken(self, code: str, logged: str | None = None) -> dict[str, Any]:
        """It ends in the two frames that tell of a failure, and without DONE; gives the error."""
        assert self.status == 200 and self.finish_reasons == ["error"] and DONE not in self.payloads, self.body
        last, error = map(json.loads, self.payloads[-2:])
        assert last["choices"][0].items() >= {"index": 0, "delta": {}, "finish_reason": "error"}.items()
        assert error.keys() == {"error"} and error["error"].keys() == {"message", "type", "param", "code"}
        assert error["error"]["code"] == code and error["error"]["message"]
        assert (self.end["outcome"], self.end["code"]) == ("error_mid", logged or code)
        return dict(error["error"])

    def spoke(self, text: str, code: str) -> None:
        """The fallback text stands for a failure, and the stream is whole."""
        assert (self.status, self.text, self.finish_reasons) == (200, text, ["stop"]), self.body
        assert self.payloads[-1] == DONE and self.payloads.count(DONE) == 1 and b'"error"' not in self.body
        assert f"error code={code} request_id={self.id}".encode() in self.comments
        assert (self.end["outcome"], self.end["code"]) == ("spoken_fallback", code)


def ask(server: RunningServer, way: str = "chat", headers: Mapping[str, str] | None = None, **fields: Any) -> Heard:
    """Ask in one of the `WAYS`, and listen to the end."""
    path, asked = AUDIO if way == "audio" else WAYS[way]
    id = uuid.uuid4().hex
    body = {"messages": [{"role": "user", "content": "What does a tune-up cost?"}], **asked, **fields}
    sent = {"x-request-id": id, **(headers or {})}
    response = requests.post(f"{server.url}{path}", json=body, headers=sent, timeout=30)
    return Heard(server, way, id, response.status_code, response.headers, response.content)


def ask_all(server: RunningServer, ways: Sequence[str]) -> list[Heard]:
    """As many callers at once as there are ways given."""
    with ThreadPoolExecutor(len(ways)) as pool:
        return list(pool.map(lambda way: ask(server, way), ways))


def broke_off(heard: Heard, upstream: FakeUpstream, code: str, logged: str | None = None) -> dict[str, Any]:
    """Check that the answer ended in a failure after "One two", and that its call was closed; return the error."""
    assert heard.text == "One two"
    error = heard.broken(code, logged)
    assert (error["type"], error["param"]) == ("server_error", None) and "10.0.0.1" not in error["message"]
    (call,) = heard.calls(upstream)
    assert heard.end["attempts"] == 1 and call.finished.wait(2)
    return error


def says(text: str) -> Any:
    """The script of a good answer in the form that is asked for."""

    def script(call: Call) -> Iterable[Step]:
        return answer(text) if call.json["stream"] else completion(text)

    return script


def in_turn(*scripts: Script) -> Callable[[Call], Iterable[Step]]:
    """These scripts, each for one call, the last one for all that follow."""
    left = list(scripts)

    def script(call: Call) -> Iterable[Step]:
        now = left.pop(0) if len(left) > 1 else left[0]
        return now(call) if callable(now) else now

    return script


def each(script: Callable[[], Script]) -> Callable[[Call], Iterable[Step]]:
    """A script of its own for each question, however many calls it makes."""
    scripts: dict[str, Script] = {}

    def played(call: Call) -> Iterable[Step]:
        of_question = scripts.setdefault(call.headers["x-request-id"], script())
        return of_question(call) if callable(of_question) else of_question

    return played


def noting(times: list[tuple[str, float]], script: Script) -> Callable[[Call], Iterable[Step]]:
    """The script; each call's question and time are noted."""

    def noted(call: Call) -> Iterable[Step]:
        times.append((call.headers["x-request-id"], time.monotonic()))
        return script(call) if callable(script) else script

    return noted


def rested(server: RunningServer, upstream: FakeUpstream, questions: int = 15) -> RunningServer:
    """The server after so many good answers: with three retries to spend, and no failures in a row to remember."""
    script, upstream.script = upstream.script, answer("Yes.")
    with requests.Session() as session:
        body = {"messages": [{"role": "user", "content": "Well?"}], "stream": True}
        for _ in range(questions):
            assert session.post(f"{server.url}/chat/completions", json=body, timeout=10).status_code == 200
    upstream.script = script
    upstream.calls.clear()
    return server


def fallback_to(*upstreams: FakeUpstream) -> str:
    """`LLM_FALLBACKS` with these, each with a key of its own."""
    return json.dumps([{"base_url": upstream.base_url, "api_key": "sk-fallback-0123456789"} for upstream in upstreams])
