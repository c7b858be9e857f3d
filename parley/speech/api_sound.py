"""The sound in the answer of a speech API, whatever its form: bytes as they are received become PCM16 mono at our rate.

    received bytes --> recognise --+-- pcm     raw samples                         as they come
                                   +-- wav     16-bit samples behind a header      as they come
                                   |           any other WAV file                  when it is complete
                                   +-- file    MP3, Ogg, FLAC, AIFF ...            when it is complete
                                   +-- json    base64 in an object                 when it is complete
                                   +-- events  base64 in server-sent events        as they come
                                   +-- text    a page, or an error                 a failure

The first bytes tell the form. Labels are wrong too often, so that the content type decides only what bytes can't: the
rate and the channels of raw samples.
"""

import base64
import binascii
import contextlib
import io
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from parley.concurrency import checkpoint
from parley.errors import ParleyError, UpstreamBadResponse
from parley.speech import sound_file, wav
from parley.speech.pcm import RateConverter
from parley.speech.sound_file import RATES_HZ, SoundError
from parley.wire import sse
from parley.wire.body_form import EVENT_STARTS

RATE = 24_000
"""Rate of raw samples without a label, in Hz: that of OpenAI and of the servers that follow it."""
MAX_SECONDS = 60
"""Limit on the sound of one clause, in seconds; a voice that goes on for longer has failed."""
MAX_BYTES = 16 << 20
"""Limit on an answer that is decoded when it is complete, in bytes."""
MAX_HEAD_BYTES = 1 << 16
"""Limit on the bytes of a WAV file before its sound."""
MAX_START_BYTES = 4096
"""Limit on the bytes that tell the form of an answer: a frame of MP3 or AAC, and the head of the next."""
MIN_TEXT_BYTES = 5
"""Least bytes of a text; what is shorter counts as samples."""
TEXT_BYTES = 16
"""Printable characters from which on a beginning is text: 16 quiet samples have other bytes among theirs."""
STEP_CHARACTERS = 1 << 18
"""Characters of base64 that are decoded in one step; a multiple of four."""
STEP_BYTES = 1 << 16
"""Bytes of samples that are converted in one step."""
MIN_CHARACTERS = 64
"""Least characters of a text that is taken for sound: words look like base64, too."""
FILES = (b"ID3", *sound_file.KINDS, *sound_file.FOREIGN_STARTS)
OBJECTS = (b'{"', b"{ ", b"{\n", b"{\r", b"{}", b"[{", b"[ ", b"[\n")
PAGES = (b"<!", b"<?", b"<h", b"<H")
"""First bytes of texts. Two each: as one sample they are loud, while quiet sound may begin with one."""
FORMS: dict[str, tuple[bytes, ...]] = {
    "wav": wav.FORMS,
    "file": FILES,
    "events": EVENT_STARTS,
    "json": OBJECTS,
    "text": PAGES,
}
"""Forms by their first bytes; the others are recognised by their structure."""
MPEG1_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_KILOBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
AUDIO_NAMES = re.compile(
    r"(audio|sound|speech|wave?|pcm|mp3)?_?(data|content|bytes|chunk|delta|base_?64|b64(_json)?)?", re.IGNORECASE
)
"""Names of JSON fields that hold sound: audio, data, audio_data, audioContent, audio_base64, b64_json, delta ..."""
RATE_NAMES = re.compile(r"(audio)?_?sampl(e|ing)_?rate(_?hertz|_?hz)?", re.IGNORECASE)
_DATA_URL = re.compile(r"data:[^,]{0,100};base64,")
_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2}){32,}|(?:[0-9A-F]{2}){32,}")
_PARAMETER = re.compile(r"(rate|channels|sample[-_]?rate)\s*=\s*\"?(\d{1,6})", re.IGNORECASE)

OnError = Callable[[bytes], ParleyError]
"""Returns the error for an answer that is an error's text, or an object with an error in it."""


@dataclass(frozen=True)
class Format:
    """The form of raw samples: PCM16 at `rate` Hz, interleaved."""

    rate: int = RATE
    channels: int = 1

    @classmethod
    def labelled(cls, content_type: str) -> "Format":
        """Return the format that a content type names, such as `audio/L16;rate=16000`."""
        given = {name.lower(): int(value) for name, value in _PARAMETER.findall(content_type)}
        channels = given.pop("channels", 1)
        rate = next(iter(given.values()), RATE)
        return cls(rate if rate in RATES_HZ else RATE, channels if 1 <= channels <= 8 else 1)


def decoded(received: Iterator[bytes], samples: Format, rate: int, on_error: OnError) -> Iterator[bytes]:
    """Yield the sound of an answer as PCM16 mono at `rate` Hz.

    `samples` is the form of raw ones. Raises what `on_error` returns, and UpstreamBadResponse.
    """
    begun, form = bytearray(), None
    for piece in received:
        begun += piece
        if form := recognise(begun):
            break
    form = form or recognise(begun, complete=True)
    yield from READERS[form or "pcm"](itertools.chain([bytes(begun)], received), samples, rate, on_error)


def recognise(begun: bytes | bytearray, *, complete: bool = False) -> str | None:
    """Return the form of an answer that begins with these bytes, or None if more of them are needed."""
    start = bytes(begun[:MAX_START_BYTES]).removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    for form, starts in FORMS.items():
        if start.startswith(starts):
            return form
    is_file = has_frames(start, complete=complete)
    if start[4:8] == b"ftyp" or is_file:
        return "file"
    text = start[:TEXT_BYTES]
    is_text = all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in text)
    may_become_file = is_file is None or b"\0\0\0".startswith(start[:3])
    if not complete and len(text) < TEXT_BYTES and (is_text or may_become_file or _may_begin(start)):
        return None
    if is_file is None:
        return None
    if not is_text or len(text) < MIN_TEXT_BYTES:
        return "pcm"
    return "events" if text.startswith(b":") else "text"


def _may_begin(start: bytes) -> bool:
    return any(known.startswith(start) for starts in FORMS.values() for known in starts)


def has_frames(start: bytes, *, complete: bool = False) -> bool | None:
    """Return True if these bytes are MP3 or AAC data: one frame, and another where it ends; None if more are needed.

    One head is no proof, because sound may begin with a sample that looks like it.
    """
    if not b"\xff".startswith(start[:1]) or (len(start) > 1 and start[1] & 0xE0 != 0xE0):
        return False
    length = frame_bytes(start) if len(start) >= 6 else None
    if length == 0:
        return False
    if length is None or len(start) < length + 2:
        return False if complete or len(start) >= MAX_START_BYTES else None
    return start[length] == 0xFF and start[length + 1] & 0xFE == start[1] & 0xFE


def frame_bytes(head: bytes) -> int:
    """Return the length of the frame of MP3 or AAC with this head of six bytes; 0 if it is none.

    Sources: ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3 (MPEG audio); ISO/IEC 13818-7, 6.2 (ADTS).
    """
    if head[1] & 0xF6 == 0xF0:
        return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    if layer != 1 or version == 1 or bitrate in (0, 15) or rate == 3:
        return 0
    kilobits = (MPEG1_KILOBITS if version == 3 else MPEG2_KILOBITS)[bitrate - 1]
    hertz = (44_100, 48_000, 32_000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    return (144 if version == 3 else 72) * kilobits * 1000 // hertz + (head[2] >> 1 & 1)


def sound_of_json(body: bytes, samples: Format, on_error: OnError) -> tuple[bytes, Format]:
    """Return the sound in a JSON answer, and the form of its samples. Raises what `on_error` returns without any."""
    answer = parsed(body)
    if answer is None or (isinstance(answer, dict) and answer.get("error")):
        raise on_error(body)
    named: list[bytes] = []
    other: list[bytes] = []
    rate = samples.rate
    for name, value in fields_of(answer):
        if isinstance(value, int) and RATE_NAMES.fullmatch(name) and value in RATES_HZ:
            rate = value
        # Ids, links and words are short, or no base64.
        elif isinstance(value, str) and len(value) >= MIN_CHARACTERS and (sound := sound_of_text(value)):
            (named if AUDIO_NAMES.fullmatch(name) else other).append(sound)
    if not named and not other:
        raise on_error(body)
    return b"".join(named) or max(other, key=len), Format(rate, samples.channels)


def parsed(body: bytes) -> Any:
    """Return the JSON value of an answer, or the list of those in its lines; None if it is no JSON."""
    for lines in ([body], body.splitlines()):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            values = [msgspec.json.decode(line) for line in lines if line.strip()]
            return values[0] if len(values) == 1 else values
    return None


def fields_of(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of all fields of a JSON value, in order, at most ten levels deep."""
    if depth > 10:
        return
    if isinstance(value, dict):
        for inner_name, inner in value.items():
            yield from fields_of(inner, inner_name, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from fields_of(inner, name, depth + 1)
    else:
        yield name, value


def sound_of_text(text: str) -> bytes:
    """Return the bytes of base64, of a data URL or of hexadecimal digits; b"" for any other text."""
    text = text[label.end() :] if (label := _DATA_URL.match(text)) else text
    try:
        if _HEXADECIMAL.fullmatch(text):
            return bytes.fromhex(text)
        # Some encoders break lines; no words lie between two spaces then.
        text = text.replace("\r", "").replace("\n", "").translate(_FROM_URL_SAFE)
        text += "=" * (-len(text) % 4)
        pieces = []
        for start in range(0, len(text), STEP_CHARACTERS):
            checkpoint()
            pieces.append(base64.b64decode(text[start : start + STEP_CHARACTERS], validate=True))
        return b"".join(pieces)
    except (binascii.Error, ValueError):
        return b""


_FROM_URL_SAFE = str.maketrans("-_", "+/")


def _of_samples(received: Iterator[bytes], samples: Format, rate: int, _: OnError) -> Iterator[bytes]:
    """Yield raw samples at our rate."""
    converter = RateConverter(samples.rate, rate, samples.channels)
    for piece in received:
        for start in range(0, len(piece), STEP_BYTES):
            checkpoint()
            yield converter.convert(piece[start : start + STEP_BYTES])
    yield converter.flush()


def _of_file(received: Iterator[bytes], _samples: Format, rate: int, _: OnError) -> Iterator[bytes]:
    """Yield the sound of a file when it is complete. Raises UpstreamBadResponse."""
    content = io.BytesIO(_whole(received))
    try:
        yield sound_file.decode(content, rate, most_seconds=MAX_SECONDS, pause=checkpoint).pcm
    except SoundError as exc:
        message = f"the speech synthesis sent sound that can't be played: {exc}"
        # The same API will send the same form again.
        raise UpstreamBadResponse(message, retryable=False) from exc


def _of_wav(received: Iterator[bytes], samples: Format, rate: int, on_error: OnError) -> Iterator[bytes]:
    """Yield the sound of a WAV file, as it comes if its samples have 16 bits. Raises UpstreamBadResponse."""
    begun = bytearray()
    layout = None
    for piece in received:
        begun += piece
        # Behind the heading of `data` four bytes tell whether its size is to be believed.
        layout = wav.begun_layout(bytes(begun[:MAX_HEAD_BYTES]))
        if layout or len(begun) > MAX_HEAD_BYTES:
            break
    answer = itertools.chain([bytes(begun)], received)
    form = wav.pcm16_form(layout.format_chunk) if layout else None
    if layout and form and form[0] in RATES_HZ:
        yield from _of_samples(_cut(answer, layout.offset, layout.size), Format(*form), rate, on_error)
    else:
        yield from _of_file(answer, samples, rate, on_error)


def _cut(received: Iterator[bytes], offset: int, size: int | None) -> Iterator[bytes]:
    """Yield the bytes from `offset` on, `size` of them if it is known; the others are received and dropped."""
    start, end = offset, None if size is None else offset + size
    for piece in received:
        if wanted := piece[max(0, start) : None if end is None else max(0, end)]:
            yield wanted
        start -= len(piece)
        end = None if end is None else end - len(piece)


def _of_events(received: Iterator[bytes], samples: Format, rate: int, on_error: OnError) -> Iterator[bytes]:
    """Yield the sound in server-sent events. Raises what `on_error` returns."""
    yield from decoded(_sounds_of_events(received, on_error), samples, rate, on_error)


def _sounds_of_events(received: Iterator[bytes], on_error: OnError) -> Iterator[bytes]:
    """Yield the bytes of sound in each event; events without any are passed over."""
    decoder = sse.Decoder(MAX_BYTES)
    for payload in itertools.chain.from_iterable(
        itertools.chain(map(decoder.feed, received), iter(lambda: decoder.end() or None, None))
    ):
        if payload == sse.DONE_PAYLOAD:
            return
        event = parsed(payload)
        if event is None or (isinstance(event, dict) and (event.get("error") or event.get("type") == "error")):
            raise on_error(payload)
        for name, value in fields_of(event):
            if isinstance(value, str) and AUDIO_NAMES.fullmatch(name) and (sound := sound_of_text(value)):
                yield sound


def _of_json(received: Iterator[bytes], samples: Format, rate: int, on_error: OnError) -> Iterator[bytes]:
    """Yield the sound in a JSON answer when it is complete. Raises what `on_error` returns."""
    sound, labelled = sound_of_json(_whole(received), samples, on_error)
    yield from decoded(iter([sound]), labelled, rate, on_error)


def _of_text(received: Iterator[bytes], samples: Format, rate: int, on_error: OnError) -> Iterator[bytes]:
    """Yield the sound of base64 without anything around it. Raises what `on_error` returns for any other text."""
    text = _whole(received)
    sound = sound_of_text(text.decode("latin-1").strip().strip('"'))
    if len(text) < MIN_CHARACTERS or not sound:
        raise on_error(text)
    yield from decoded(iter([sound]), samples, rate, on_error)


def _whole(received: Iterator[bytes]) -> bytes:
    """Return an answer to its end. Raises UpstreamBadResponse above `MAX_BYTES`."""
    body = bytearray()
    for piece in received:
        body += piece
        if len(body) > MAX_BYTES:
            raise UpstreamBadResponse("the speech synthesis does not end", retryable=False)
    return bytes(body)


READERS: dict[str, Callable[[Iterator[bytes], Format, int, OnError], Iterator[bytes]]] = {
    "pcm": _of_samples,
    "wav": _of_wav,
    "file": _of_file,
    "events": _of_events,
    "json": _of_json,
    "text": _of_text,
}
"""Readers by the form of an answer."""
