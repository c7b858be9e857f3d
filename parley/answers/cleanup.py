"""The last step of /chat and /rag where their text is cleaned for a platform's voice (`speech_cleanup`).

    batches --> each text through the cleaner of its choice --> unchanged: the payload as it came
                                                                changed: the payload with the new text
                                                                empty, and nothing else said: no payload
    a choice ends, calls a tool, or the answer breaks --> the text that was held back leaves first

Only `content` and `refusal` are touched.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from parley.concurrency import SILENCE, checkpoint, run_for_size
from parley.errors import AnswerCapped, UpstreamError
from parley.services import Services
from parley.speech.cleaning import STEP_CHARACTERS, Cleaner, cleaned
from parley.turn import Batches, TurnContext
from parley.turn_record import TurnRecord
from parley.wire import chunks, sse, upstream_json
from parley.wire.chunks import Choice
from parley.wire.content import SAID_FIELDS, SAID_PARTS, PairJoiner, words_of

Stream = Callable[[TurnContext, Services], Batches]
Whole = Callable[[TurnContext, Services], bytes]


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: msgspec.Raw | None = None
    tool_calls: msgspec.Raw | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


DELTA = b'"delta":{"content":'
"""Beginning of a delta that has nothing but a text."""
_decoder = msgspec.json.Decoder(_Chunk)


def clean_stream(answer: Stream) -> Stream:
    """Return the answer with its text cleaned where the request, or the settings, ask for it."""

    def stream(context: TurnContext, services: Services) -> Batches:
        level = context.chat.speech_cleanup
        # Before the answer takes the request; without the clean-up nothing stands between it and the turn.
        batches = answer(context, services)
        return batches if level == "off" else clean(batches, level, context.record)

    return stream


def clean_whole(answer: Whole) -> Whole:
    """Return the answer in one piece with its text cleaned where the request, or the settings, ask for it."""

    def whole(context: TurnContext, services: Services) -> bytes:
        level = context.chat.speech_cleanup
        body = answer(context, services)
        return body if level == "off" else run_for_size(len(body), clean_completion, body, level, context.record)

    return whole


def clean(batches: Batches, level: str, record: TurnRecord) -> Batches:
    """Yield the batches with their texts cleaned."""
    cleaner = _StreamCleaner(level)
    has_left = False
    with contextlib.closing(batches):
        try:
            for batch in batches:
                if batch is not SILENCE:
                    # In place, because the last batch of an answer is marked by its type.
                    batch[:] = cleaner.cleaned(batch)
                    if isinstance(batch, sse.LastBatch):
                        batch += cleaner.rests()
                    has_left = has_left or bool(batch)
                # All of it was taken out: nothing has come.
                yield batch if batch is SILENCE or batch or isinstance(batch, sse.LastBatch) else SILENCE
            if rests := cleaner.rests():
                yield rests
        except (UpstreamError, AnswerCapped):
            # Where nothing has left yet the error is still an HTTP status.
            if has_left and (rests := cleaner.rests()):
                yield rests
            raise
        finally:
            record.cleaned = cleaner.extent


def clean_completion(body: bytes, level: str, record: TurnRecord) -> bytes:
    """Return a whole answer with its texts cleaned."""
    changed: dict[int, dict[str, Any]] = {}
    had_text = has_text = False
    for position, choice in enumerate(chunks.look(body).choices or ()):
        message = choice.message if isinstance(choice.message, dict) else {}
        for field in SAID_FIELDS:
            text = message.get(field)
            left = with_texts(text, lambda said: cleaned(said, level))
            had_text = had_text or bool(words_of(text).text.strip())
            has_text = has_text or bool(words_of(left).text.strip())
            if left != text:
                changed.setdefault(position, {})[field] = left
    if not changed:
        return body
    record.cleaned = "some" if has_text or not had_text else "all"
    return chunks.with_content(body, changed, part="message")


def with_texts(content: Any, change: Callable[[str], str]) -> Any:
    """Return a content, a string or a list of parts, with each of its texts changed."""
    if isinstance(content, str):
        return change(content)
    if not isinstance(content, list):
        return content
    changed = []
    for part in content:
        field = SAID_PARTS.get(str(part.get("type"))) if isinstance(part, dict) else None
        said = field and isinstance(part.get(field), str)
        changed.append(
            {**part, field: change(part[field])} if said else change(part) if isinstance(part, str) else part
        )
    return changed


class _Text:
    """One text of a choice as it streams: its cleaner, and a payload in which more of it can leave.

    `is_proven_open` is true once text has come behind its end: only the end of the stream ends it.
    """

    def __init__(self, level: str) -> None:
        self.cleaner = Cleaner(level)
        self.pairs = PairJoiner()
        self.template = b""
        self.position = 0
        self.has_ended = self.is_proven_open = False

    def feed(self, text: str) -> str:
        """Return what is certain of the text with this piece."""
        text = self.pairs.feed(text)
        if len(text) <= STEP_CHARACTERS:
            return self.cleaner.feed(text)
        passed = []
        for piece in self.cleaner.pieces_of(text):
            # Other streams go on meanwhile.
            checkpoint()
            passed.append(piece)
        return "".join(passed)


class _StreamCleaner:
    """Cleans the payloads of one stream. `extent` tells how much was taken out: None, "some" or "all"."""

    def __init__(self, level: str) -> None:
        self._level = level
        # By the choice's index and the field.
        self._texts: dict[tuple[object, str], _Text] = {}
        self._main = self._text(0, "content")
        self._had_text = self._has_text = False
        # Characters that came less those that were passed on.
        self._taken_out = 0

    @property
    def extent(self) -> str | None:
        """Extent of what was taken out, for the log line."""
        if not self._taken_out:
            return None
        return "some" if self._has_text or not self._had_text else "all"

    def cleaned(self, payloads: list[bytes]) -> list[bytes]:
        """Return the payloads to pass on in place of these."""
        passed: list[bytes] = []
        for payload in payloads:
            if isinstance(payload, sse.Comment):
                passed.append(payload)
                continue
            quickly = self._quickly(payload)
            passed += self._clean(payload) if quickly is None else quickly
        return passed

    def rests(self) -> list[bytes]:
        """Return all texts that were held back, as payloads."""
        return [payload for (_, field), text in self._texts.items() for payload in self._rest(field, text)]

    def _quickly(self, payload: bytes) -> list[bytes] | None:
        """Return what to pass on for a payload with nothing but a text, as most are; None for any other.

        perf: saves the view and its questions for nearly every chunk, and writing one anew if it is changed.
        """
        try:
            (choice,) = _decoder.decode(payload).choices
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            return None
        delta, main = choice.delta, self._main
        if choice.index != 0 or choice.finish_reason is not None or delta is None or not delta.content:
            return None
        if main.has_ended or delta.refusal is not None or delta.tool_calls is not None:
            return None
        # What is held back may leave in a copy of it.
        main.template, main.position = payload, 0
        came = delta.content
        if main.cleaner.skip(came):
            self._had_text = self._has_text = True
            return [payload]
        left = main.feed(came)
        self._note(came, left)
        if left == came:
            return [payload]
        # As the upstream wrote it, if that is how we would.
        written = DELTA + upstream_json.encode(came) + b"}"
        if payload.count(written) != 1 or b'"logprobs":{' in payload or b'"usage":{' in payload:
            changed = {0: {"content": left}}
            is_kept = chunk_says_more(payload, chunks.look(payload).choices or (), changed)
            return [chunks.with_content(payload, changed)] if is_kept else []
        return [payload.replace(written, DELTA + upstream_json.encode(left) + b"}")] if left else []

    def _note(self, came: str, left: str) -> None:
        """Count what was taken out of a text."""
        self._had_text = self._had_text or bool(came.strip())
        self._has_text = self._has_text or bool(left.strip())
        self._taken_out += len(came) - len(left)

    def _text(self, index: object, field: str) -> _Text:
        if (index, field) not in self._texts:
            self._texts[index, field] = _Text(self._level)
        return self._texts[index, field]

    def _clean(self, payload: bytes) -> list[bytes]:
        """Return a payload with its texts cleaned, behind the texts that its endings release."""
        view = chunks.look(payload)
        released: list[bytes] = []
        changed: dict[int, dict[str, Any]] = {}
        for position, choice in enumerate(view.choices or ()):
            delta, key = choice.fields, choice.key
            for field in SAID_FIELDS:
                text = self._texts.get((key, field))
                came = delta.get(field)
                if came:
                    text = self._take(payload, position, key, field, came, changed)
                # Words before a call are said before it.
                if text and (choice.ends or delta.get("tool_calls")):
                    released += self._end(field, text, choice, changed.setdefault(position, {}) if came else None, came)
        changed = {position: fields for position, fields in changed.items() if fields}
        if not changed:
            return [*released, payload]
        is_kept = chunk_says_more(payload, view.choices or (), changed)
        return [*released, chunks.with_content(payload, changed)] if is_kept else released

    def _take(
        self, payload: bytes, position: int, key: object, field: str, came: Any, changed: dict[int, dict[str, Any]]
    ) -> _Text:
        """Clean a field of a delta, and note it in `changed` if it is another one."""
        text = self._text(key, field)
        text.is_proven_open = text.is_proven_open or text.has_ended
        text.template, text.position = payload, position
        left = with_texts(came, text.feed)
        self._note(words_of(came).text, words_of(left).text)
        if left != came:
            changed.setdefault(position, {})[field] = left
        return text

    def _end(self, field: str, text: _Text, choice: Choice, changed: dict[str, Any] | None, came: Any) -> list[bytes]:
        """Return what a text releases at its end; beside its last words it becomes a part of these."""
        text.has_ended = text.has_ended or choice.ends
        if text.is_proven_open:
            return []
        # Behind the last words, not in front of them.
        if not came:
            return self._rest(field, text)
        rest = text.cleaner.rest()
        self._note("", rest)
        if rest and changed is not None:
            left = changed.get(field, came)
            changed[field] = [*left, {"type": "text", "text": rest}] if isinstance(left, list) else left + rest
        return []

    def _rest(self, field: str, text: _Text) -> list[bytes]:
        rest = text.cleaner.rest()
        self._note("", rest)
        return [with_text_alone(text, field, rest)] if rest and text.template else []


def chunk_says_more(payload: bytes, choices: Any, changed: Mapping[int, Mapping[str, Any]]) -> bool:
    """Return True if a chunk says anything beside the texts that have become empty."""
    for position, choice in enumerate(choices):
        left = {**choice.fields, **changed.get(position, {})}
        if choice.ends or any(value and not is_empty(value) for value in left.values()):
            return True
    return b'"usage":{' in payload


def is_empty(value: Any) -> bool:
    """Return True for a text without characters, or parts without texts."""
    return isinstance(value, list) and all(isinstance(part, dict) and not words_of([part]).text for part in value)


def with_text_alone(text: _Text, field: str, rest: str) -> bytes:
    """Return a copy of the last payload of a text with this text and nothing else in its delta."""
    fields = upstream_json.fields(text.template)
    choices = msgspec.json.decode(fields["choices"], type=list[dict[str, msgspec.Raw]])
    choice = choices[text.position]
    delta = msgspec.Raw(upstream_json.encode({field: rest}))
    ended = {"delta": delta, "finish_reason": msgspec.Raw(b"null")}
    if "logprobs" in choice:
        ended["logprobs"] = msgspec.Raw(b"null")
    fields["choices"] = msgspec.Raw(msgspec.json.encode([{**choice, **ended}]))
    fields.pop("usage", None)
    return upstream_json.encode(fields)
