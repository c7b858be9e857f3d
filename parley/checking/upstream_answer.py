"""The last check of an upstream: one short answer of a model, a phrase of a voice, one embedding (UP-e).

Each costs a little, so an examination asks for a few only.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from parley.checking import network
from parley.checking.calling import CallFailed, Exchange, shortened
from parley.checking.probe import MAX_CALLS, MAX_TOKENS
from parley.checking.report import Outcome, fail, ok, skip, warn
from parley.checking.upstream import Target
from parley.wire.content import words_in

QUESTION = "Count from one to ten."
BURST_MS = 20
"""Milliseconds within which the words of an answer that was buffered come."""
UNBUFFERED_MS = 300
"""Milliseconds to the first content below which words may well come together: the model is just fast."""
MIN_WORDS = 4
"""Words of an answer from which it shows whether it was buffered."""
MIN_SOUND_BYTES = 1000
"""Bytes of sound below which nothing is heard."""


@dataclass
class Told:
    """Contents of a stream: the moments of its words, thoughts, the reason of its end, an error, figures of tokens."""

    moments: list[float] = field(default_factory=list)
    thoughts: int = 0
    finish: Any = None
    error: Any = None
    usage: bool = False

    @classmethod
    def by(cls, got: Exchange) -> "Told":
        """Return what the events of an answer hold."""
        told = cls()
        for event in got.events:
            chunk = event.json()
            told.error = told.error or chunk.get("error")
            told.usage = told.usage or bool(chunk.get("usage"))
            for choice in [one for one in chunk.get("choices") or () if isinstance(one, dict)]:
                told.finish = choice.get("finish_reason") or told.finish
                delta = choice.get("delta")
                if not isinstance(delta, dict):
                    continue
                if words_in(delta).text:
                    told.moments.append(event.ms)
                told.thoughts += any(value for name, value in delta.items() if name.startswith(("reason", "think")))
        return told


def answer(target: Target) -> Iterator[Outcome]:
    """Tell how one short answer comes."""
    if not target.addresses:
        return
    if not target.probe.takes_call():
        yield skip(f"no more than {MAX_CALLS} answers are asked for; --only UP asks for these alone")
        return
    try:
        yield from {"voice": phrase, "embeddings": embedding}.get(target.kind, stream)(target)
    except CallFailed as exc:
        yield fail(f"{exc}", f"try again; if it stays, ask whoever runs {network.target_of(target.url)[0]}")


def refusal(target: Target, refused: Exchange) -> Outcome:
    """Return what a status other than 200 means."""
    told = f"status {refused.status}: {refused.error()}"
    prefix = target.setting
    fixes = {
        400: "read its words; LLM_PARAMS changes the fields that are sent",
        401: f"correct {prefix}_API_KEY",
        402: "the account has no credit left: pay, or set another key",
        403: f"the key may not use this model or this region: correct {prefix}_API_KEY or {prefix}_MODEL",
        404: f"correct {prefix}_BASE_URL (most end in /v1) or {prefix}_MODEL",
        405: f"correct {prefix}_BASE_URL: another kind of server answers there",
        429: "the account's limit is used up: wait, pay, or name a second upstream in LLM_FALLBACKS",
    }
    # Above 499, and what nobody knows.
    fix = fixes.get(refused.status, "its own fault: wait, or name a second upstream in LLM_FALLBACKS")
    return fail(told, fix, http_status=refused.status)


def stream(target: Target) -> Iterator[Outcome]:
    """Ask a model for a few words as a stream."""
    # A limit that the operator has set is kept: two of them exclude each other.
    limits = {name: value for name, value in target.params.items() if name.startswith("max_")}
    body = {**target.params, "model": target.model, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    settings = target.probe.settings
    seconds = max(settings.ttft_timeout, settings.idle_timeout) + 5
    caller, url = target.caller(), target.route("/chat/completions")
    got = caller.send("POST", url, {**body, **(limits or {"max_tokens": MAX_TOKENS})}, seconds=seconds)
    if got.status == 400 and b"max_completion_tokens" in got.body:
        # Newer models know the limit by this name alone; callers' fields are theirs to name.
        got = caller.send("POST", url, {**body, "max_completion_tokens": MAX_TOKENS}, seconds=seconds)
    if got.status != 200:
        yield refusal(target, got)
    elif not got.events:
        yield from whole_answer(got)
    else:
        yield judge(got, settings.ttft_timeout)


def whole_answer(got: Exchange) -> Iterator[Outcome]:
    """Tell what came in place of an event stream."""
    # The page of a proxy, or of another address of the provider.
    if got.media_type == "text/html":
        yield fail("a web page answers, not an API", "correct LLM_BASE_URL; most end in /v1")
    elif got.json().get("choices"):
        fix = "turn on streaming there; until then callers wait for the whole answer"
        yield warn(f"it does not stream: the whole answer came at once, after {got.end_ms:.0f} ms", fix)
    else:
        yield fail(f"no answer: {got.media_type or 'no content type'}, {got.broke_off or got.error()}")


def judge(got: Exchange, first_limit: float) -> Outcome:
    """Return what is wrong with a stream, or its figures."""
    told = Told.by(got)
    if told.error:
        return fail(f"an error in the stream: {shortened(json.dumps(told.error))}", "read its words")
    if not told.moments:
        return nothing_said(got, told)
    first, spread = told.moments[0], told.moments[-1] - told.moments[0]
    figures = {"first_ms": round(first, 1), "chunks": len(told.moments), "spread_ms": round(spread, 1)}
    text = f"first content {first:.0f} ms, {len(told.moments)} chunks over {spread:.0f} ms"
    if first > first_limit * 1000:
        fix = f"raise TTFT_TIMEOUT above {first / 1000:.0f}, or choose a faster model"
        return fail(f"{text}; TTFT_TIMEOUT={first_limit:g} would have ended it", fix, **figures)
    # A fast model may well be done at once; a slow one sends what it has.
    if len(told.moments) >= MIN_WORDS and spread < BURST_MS and first > UNBUFFERED_MS:
        fix = "ask whoever runs it to turn off buffering; a proxy before it may do so (proxy_buffering off)"
        return warn(f"{text}: all words at once, so something buffers", fix, **figures)
    if got.broke_off:
        return fail(
            f"{text}; then it broke off: {got.broke_off}", "try again; the upstream or a proxy cut it", **figures
        )
    if faults := list(stream_faults(got, told.finish)):
        return warn(f"{text}; {', '.join(faults)}", "Parley mends it; other clients may not", **figures)
    return ok(f"streams: {text}, finish{', usage' if told.usage else ''}, DONE", **figures)


def stream_faults(got: Exchange, finish: Any) -> Iterator[str]:
    """Yield what a stream lacks at its end."""
    if got.media_type != "text/event-stream":
        yield f"its content type is {got.media_type or 'missing'}"
    if not finish:
        yield "no finish_reason"
    if not got.is_done:
        yield "no DONE at the end"


def nothing_said(got: Exchange, told: Told) -> Outcome:
    """Return the outcome of a stream without a word."""
    if told.thoughts or told.finish == "length":
        return ok(f"streams; it thinks first, and {MAX_TOKENS} tokens were too few for a word", thoughts=told.thoughts)
    if got.broke_off:
        return fail(
            f"the stream broke off without a word: {got.broke_off}", "try again; the upstream or a proxy cut it"
        )
    return fail("the stream ended without a word", "try another model; a filter of the upstream's may withhold answers")


def phrase(target: Target) -> Iterator[Outcome]:
    """Ask a voice for one word."""
    wanted = {"input": "Hello.", "model": target.model, "voice": target.probe.settings.tts_voice}
    seconds = target.probe.settings.ttft_timeout + 5
    got = target.caller().send(
        "POST", target.route("/audio/speech"), {**wanted, "response_format": "pcm"}, seconds=seconds
    )
    if got.status != 200:
        yield refusal(target, got)
        return
    size = sum(size for _, size in got.reads)
    first = got.reads[0][0] if got.reads else got.head_ms
    # Some voices send events, whose sound is not counted here.
    if size < MIN_SOUND_BYTES and not got.events:
        yield fail(f"the voice gave {size} bytes, which is no sound: {got.error()}", "correct TTS_MODEL or TTS_VOICE")
    elif first > target.probe.settings.ttft_timeout * 1000:
        fix = "raise TTFT_TIMEOUT, or choose a faster voice"
        yield fail(f"first sound after {first:.0f} ms; TTFT_TIMEOUT would have ended it", fix, first_ms=round(first, 1))
    else:
        yield ok(f"speaks: first sound {first:.0f} ms, {size} bytes, {got.media_type}", first_ms=round(first, 1))


def embedding(target: Target) -> Iterator[Outcome]:
    """Ask for the embedding of one question."""
    body = {"model": target.model, "input": ["When are you open?"], "encoding_format": "float"}
    got = target.caller().send("POST", target.route("/embeddings"), body, seconds=10)
    if got.status != 200:
        yield refusal(target, got)
        return
    data = got.json().get("data")
    # Their form is checked in full by the server; here it is enough that there is one.
    vector = data[0].get("embedding") if isinstance(data, list) and data and isinstance(data[0], dict) else None
    limit = target.probe.settings.embeddings_timeout
    if not isinstance(vector, list) or not vector:
        yield fail("the answer holds no embedding", "correct EMBEDDINGS_BASE_URL or EMBEDDINGS_MODEL")
    elif got.end_ms > limit * 1000:
        fix = f"raise EMBEDDINGS_TIMEOUT above {got.end_ms / 1000:.1f}, below RAG_TIMEOUT"
        yield warn(f"{got.end_ms:.0f} ms, above EMBEDDINGS_TIMEOUT={limit:g}: searches use words alone", fix)
    else:
        yield ok(f"embeds: {len(vector)} numbers in {got.end_ms:.0f} ms")
