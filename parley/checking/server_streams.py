"""Checks of what a caller hears of a running server: does sound flow, do words, is a barge-in noticed (SV).

None but that of /rag asks a model: the others have Parley say a text as it is (a broadcast).
"""

import contextlib
import re
import time
from collections.abc import Iterator

from parley.checking.arrival import SAME_BURST_MS, OwnStalls, Sound
from parley.checking.calling import CallFailed, Event, Exchange, shortened
from parley.checking.probe import MAX_CALLS, MAX_TOKENS
from parley.checking.report import Outcome, fail, ok, skip, warn
from parley.checking.server import Server, refused
from parley.operators.platform_requests import Message, agora_broadcast
from parley.operators.platforms import PLATFORMS

AUDIO = "/audio/chat/completions"
TWELVE_WORDS = "This is a test of the line, so that every word is heard."
LONG_WORDS = "This is a long announcement, which goes on until somebody interrupts it. "
CONVERSATION = (
    Message("system", "You are a concise voice assistant. Answer in one short sentence."),
    Message("assistant", "Hello!"),
    Message("user", "What do you offer?"),
    Message("assistant", "We have three ", "We have three plans, the first costs ten dollars."),
    Message("user", "What are your opening hours?"),
)
LEAD_MS = 200
"""Milliseconds that the server sends ahead by default; a gap of half of it is half way to a silence."""
FEW_BURSTS = 0.7
"""Share of bursts among the chunks below which something joins them."""
ONE_BURST = 0.3
"""Share of the sound's length within which all of it comes if it was held back."""
LATE_MS, TOGETHER_MS = 500, 150
"""Milliseconds after which the waiting message is late, and after which it must not come together with the answer."""
GONE_SECONDS = 1.0
"""Seconds within which the server must have noticed that a caller left."""
WORDS_PER_SECOND = 3.0
"""Most words that are said in a second, for a broadcast that shall be long enough."""
CLOSED = re.compile(
    r'^parley_requests_total\{[^}]*endpoint="audio"[^}]*outcome="client_closed"[^}]*\} (\S+)', re.MULTILINE
)


def sound(server: Server) -> Iterator[Outcome]:
    """Tell whether sound arrives at the pace of speech, or in lumps."""
    outcome = skip("no sound was asked for")
    # Once more where something looks odd: a gap may be the network's, or this machine's own.
    for _ in range(2):
        try:
            with OwnStalls() as stalls:
                body = agora_broadcast(TWELVE_WORDS, model_of(server))
                got = server.note(server.caller().send("POST", server.url(AUDIO), body))
        except CallFailed as exc:
            yield fail(f"/audio: {exc}")
            return
        if got.status != 200:
            yield refused(got, "/audio")
            return
        # Its headers and its form are looked at by further checks, without another request.
        server.sound = got
        outcome = judge_sound(server, got, stalls.longest_ms, stalls.total_ms)
        if outcome.status != "warn":
            break
    yield outcome


def judge_sound(server: Server, got: Exchange, own_ms: float, own_total_ms: float = 0.0) -> Outcome:
    """Return what the moments at which sound came tell of the way.

    This machine itself was held up for `own_ms` at the longest, and for `own_total_ms` in all.
    """
    heard = Sound.by(got)
    if not got.is_done:
        return cut(got, "/audio")
    if not heard.moments:
        return fail(
            f"/audio ended without a sound{error_in(got)}", "flask audio check; the server's log tells the reason"
        )
    spread = heard.moments[-1] - heard.moments[0]
    figures = {"chunks": len(heard.moments), "bursts": heard.bursts, "gap_ms": round(heard.gap_ms, 1)}
    told = f"{len(heard.moments)} chunks in {heard.bursts} bursts, largest gap {heard.gap_ms:.0f} ms"
    # What is held back comes when the sound is over; a server with a long lead sends it at once.
    is_late = heard.moments[0] - server.health_ms > ONE_BURST * heard.length_ms
    if spread < ONE_BURST * (heard.length_ms - LEAD_MS) and is_late:
        told = f"/audio: {heard.length_ms:.0f} ms of sound came within {spread:.0f} ms, after {heard.moments[0]:.0f} ms"
        return fail(f"{told}\nsomething on the way buffers: {server.way()}", server.buffering_fix(), **figures)
    if heard.gap_ms > max(LEAD_MS / 2, 2.5 * heard.chunk_ms) and heard.gap_ms > 2 * own_ms:
        return warn(f"/audio: {told}: callers may hear gaps\n{server.way()}", server.buffering_fix(), **figures)
    # Each stall of this machine joins as many chunks as fall due in it.
    bursts = heard.bursts + own_total_ms / max(1.0, heard.chunk_ms)
    if bursts < FEW_BURSTS * (len(heard.moments) - heard.ahead):
        return warn(f"/audio: {told}: something joins chunks\n{server.way()}", server.buffering_fix(), **figures)
    return ok(f"sound flows: {told}", **figures)


def words(server: Server) -> Iterator[Outcome]:
    """Tell whether the waiting message of /rag is heard while the model is still busy."""
    if not server.probe.takes_call():
        yield skip(f"no more than {MAX_CALLS} answers are asked for; --only SV asks for these alone")
        return
    platform = server.probe.platform or PLATFORMS["agora"]
    url = platform.url(server.probe.address, "rag") + ("/chat/completions" if platform.appends else "")
    # The waiting message is wanted whatever WAITING says: its moment is known, that of the answer is the model's.
    body = {**platform.request(CONVERSATION, model_of(server)), "waiting": "always", "max_tokens": MAX_TOKENS}
    try:
        query = f"?{platform.query}" if platform.query else ""
        got = server.note(server.caller().send("POST", url + query, body))
    except CallFailed as exc:
        yield fail(f"/rag: {exc}")
        return
    if got.status != 200:
        yield refused(got, "/rag")
        return
    server.words = got
    yield judge_words(server, got)


def judge_words(server: Server, got: Exchange) -> Outcome:
    """Return what the moments at which words came tell of the way."""
    said = [event.ms for event in got.events if text_of(event)]
    if error := error_in(got):
        fix = "flask doctor --only UP where the server runs"
        if "timeout" in error:
            fix = f"the model is slower than TTFT_TIMEOUT allows, or its machine is busy; {fix}"
        return fail(f"/rag ends with an error{error}", fix)
    if not said:
        return cut(got, "/rag")
    waiting, answer = said[0], said[1] if len(said) > 1 else None
    # Connection, TLS and one round trip are in both.
    delay = waiting - server.health_ms
    is_together = answer is not None and answer - waiting < SAME_BURST_MS
    figures = {"waiting_ms": round(waiting, 1), "first_ms": round(answer or 0.0, 1)}
    if delay > LATE_MS or (is_together and delay > TOGETHER_MS):
        told = f"/rag: the waiting message came after {waiting:.0f} ms" + ", together with the answer" * is_together
        told += f" (a short answer takes {server.health_ms:.0f} ms)"
        return fail(f"{told}\nsomething on the way buffers: {server.way()}", server.buffering_fix(), **figures)
    if not got.is_done:
        return cut(got, "/rag")
    # An answer this fast shows no delay; but a proxy took out the header that would keep the next one from buffering.
    if is_together and "x-accel-buffering" not in got.headers:
        told = f"/rag: the waiting message came together with the answer, after {waiting:.0f} ms"
        told += "\nX-Accel-Buffering is missing: a proxy behind the one that took it out may buffer"
        return warn(f"{told}: {server.way()}", server.buffering_fix(), **figures)
    shown = f", the answer after {answer:.0f} ms" if answer is not None else ""
    return ok(f"words flow: the waiting message after {waiting:.0f} ms{shown}, DONE", **figures)


def cut(got: Exchange, path: str) -> Outcome:
    """Return that a stream ended too soon, and when."""
    if not got.events and got.media_type != "text/event-stream":
        fix = "look at the proxy in front: no check of browsers, no page of its own for these routes"
        return fail(f"{path}: no event stream came, but {got.media_type or 'nothing'}: {got.error()}", fix)
    last = got.reads[-1][0] if got.reads else got.head_ms
    silence = max(0.0, got.end_ms - last)
    told = f"{path} was cut {got.end_ms / 1000:.1f} s after the question, without DONE"
    if silence > LATE_MS:
        told += f", in a silence of {silence / 1000:.1f} s"
    fix = "raise the time limits of the proxies above HEARTBEAT (nginx: proxy_read_timeout 65s)"
    return fail(f"{told}: {got.broke_off or 'the connection was closed'}", fix, cut_ms=round(got.end_ms))


def shape(server: Server) -> Iterator[Outcome]:
    """Tell whether answers have the form that Agora's engine and OpenAI's clients need."""
    faults = [*text_faults(server.words), *sound_faults(server.sound)]
    try:
        faults += [*whole_faults(server), *models_faults(server)]
    except CallFailed as exc:
        faults.append(str(exc))
    for fault in faults:
        yield fail(fault, "the server's log line of that request tells more")
    if not faults:
        yield ok("text turn, broadcast, answer in one piece and /models have the form that clients need")


def text_faults(got: Exchange | None) -> Iterator[str]:
    """Yield what is wrong with the answer to a text turn, if there was one."""
    if got is None or not got.is_done:
        return
    chunks = [event.json() for event in got.events if event.json()]
    if len({chunk.get("id") for chunk in chunks}) != 1:
        yield "/rag: the chunks of one answer have several ids"
    if any("choices" not in chunk for chunk in chunks):
        yield "/rag: a chunk has no choices"
    finished = [choice for chunk in chunks for choice in chunk.get("choices") or () if choice.get("finish_reason")]
    # Clients end a turn at the first one.
    if len(finished) != 1:
        yield f"/rag: {len(finished)} chunks have a finish_reason"


def sound_faults(got: Exchange | None) -> Iterator[str]:
    """Yield what is wrong with the answer to a broadcast, if there was one."""
    if got is None or not got.is_done:
        return
    heard = Sound.by(got)
    if heard.transcript.strip() != TWELVE_WORDS:
        yield f"/audio: another text was said: {shortened(heard.transcript)}"
    if not heard.is_whole:
        yield "/audio: a chunk of sound is not 16-bit PCM in Base64"
    starts = [float(word.get("start_ts", 0)) for word in heard.words]
    if starts != sorted(starts):
        yield "/audio: the words are not in order"


def whole_faults(server: Server) -> Iterator[str]:
    """Yield what is wrong with an answer in one piece, under /v1 as OpenAI's clients ask for it."""
    body = {"model": model_of(server), "messages": [{"role": "assistant", "content": "Hello."}], "stream": False}
    got = server.caller().send("POST", server.url("/v1" + AUDIO), body)
    choices = got.json().get("choices")
    # RATE_LIMIT; the checks before this one have told it.
    if got.status == 429 and got.is_ours:
        return
    if got.status != 200 or not isinstance(choices, list):
        yield f"/v1{AUDIO}: status {got.status}, {got.error()}"
    elif not choices[0].get("message", {}).get("audio", {}).get("data"):
        yield f"/v1{AUDIO}: the answer in one piece holds no sound"


def models_faults(server: Server) -> Iterator[str]:
    """Yield what is wrong with the list of models."""
    got = server.caller().send("GET", server.url("/v1/models"))
    if got.status != 200 or not isinstance(got.json().get("data"), list):
        yield f"/v1/models: status {got.status}, {got.error()}"


def barge_in(server: Server) -> Iterator[Outcome]:
    """Tell whether the server notices through all proxies that a caller has left."""
    before = left_callers(server)
    if before is None:
        yield skip("/metrics is not shown here, so nobody can tell")
        return
    body = agora_broadcast(LONG_WORDS * 6, model_of(server))
    limit: list[float] = []

    def is_enough(event: Event) -> bool:
        # 300 ms after the first event, as a caller who interrupts at once.
        limit.append(event.ms)
        return event.ms - limit[0] >= 300

    try:
        got = server.caller().send("POST", server.url(AUDIO), body, until=is_enough)
    except CallFailed as exc:
        yield fail(f"/audio: {exc}")
        return
    if got.status != 200:
        yield refused(got, "/audio")
        return
    if got.is_done:
        # The whole answer was held back, or is too short to be interrupted.
        yield skip("the answer was complete before it could be interrupted")
        return
    began = time.perf_counter()
    # The metric is raised when the turn has released all it held.
    while (now := left_callers(server)) is not None and now <= before:
        if time.perf_counter() - began > GONE_SECONDS + server.health_ms / 1000:
            fix = "have the proxy close its connection when the caller's closes (haproxy: option abortonclose)"
            yield fail(
                f"a caller who left was not noticed within {GONE_SECONDS:g} s: the model goes on for nobody", fix
            )
            return
        time.sleep(0.05)
    yield ok(f"a caller who leaves is noticed within {(time.perf_counter() - began) * 1000:.0f} ms")


def left_callers(server: Server) -> float | None:
    """Return how many callers of /audio have left so far; None where the server does not tell."""
    try:
        got = server.caller().send("GET", server.url("/metrics"), seconds=5)
    except CallFailed:
        return None
    text = got.body.decode(errors="replace")
    if got.status != 200 or "parley_" not in text:
        return None
    # One series for each code; several workers may be added up by now.
    total = 0.0
    for value in CLOSED.findall(text):
        with contextlib.suppress(ValueError):
            total += float(value)
    return total


def long_answer(server: Server) -> Iterator[Outcome]:
    """Tell whether a long answer is heard to its end."""
    seconds = server.probe.long_seconds
    if not seconds:
        yield skip("--long SECONDS tries an answer of that length")
        return
    # Long enough in any case: the connection is closed once the time is over.
    count = max(1, round(seconds * WORDS_PER_SECOND / len(LONG_WORDS.split())))
    body = agora_broadcast(LONG_WORDS * count, model_of(server))
    try:
        got = server.caller().send("POST", server.url(AUDIO), body, for_seconds=seconds)
    except CallFailed as exc:
        yield fail(f"/audio: {exc}")
        return
    length = got.end_ms / 1000
    if got.status != 200:
        yield refused(got, "/audio")
    elif got.is_done and length < seconds / 2:
        yield warn(f"the announcement ended by itself after {length:.0f} s: without a voice no longer one can be made")
    elif got.is_done or length >= seconds:
        yield ok(f"an answer of {length:.0f} s is heard to its end", seconds=round(length, 1))
    else:
        yield cut(got, "/audio")


def model_of(server: Server) -> str:
    """Return the model to name: the server's own, or the first that it lists."""
    # /ready names it only to callers with a key.
    if not server.model:
        with contextlib.suppress(CallFailed):
            data = server.caller().send("GET", server.url("/models"), seconds=10).json().get("data")
            if isinstance(data, list) and data and isinstance(data[0], dict):
                server.model = str(data[0].get("id", ""))
    return server.model or "gpt-4o-mini"


def text_of(event: Event) -> str:
    """Return the words of an event."""
    choices = event.json().get("choices") or [{}]
    return str((choices[0].get("delta") or {}).get("content") or "")


def error_in(got: Exchange) -> str:
    """Return the error inside of a stream, if there is one, behind a colon."""
    for event in got.events:
        if isinstance(error := event.json().get("error"), dict):
            return f": {error.get('code')}, {shortened(str(error.get('message')))}"
    return ""
