"""The voice of an OpenAI-compatible API: `POST /audio/speech` for each clause, its PCM streamed.

The openai client is imported when the voice is first needed. Its errors become ours here, without the address, the key
or the voice in them: callers may read them. Source: https://platform.openai.com/docs/api-reference/audio/createSpeech
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent

from parley.concurrency import checkpoint
from parley.errors import (
    UpstreamAuthFailed,
    UpstreamBadResponse,
    UpstreamDisconnected,
    UpstreamEmptyResponse,
    UpstreamError,
    UpstreamRedirect,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from parley.speech import pacing, word_estimation
from parley.speech.pcm import Resampler, from_int16, to_int16
from parley.speech.speech_text import Clause
from parley.speech.utterance import AudioPiece
from parley.telemetry.logs import log

RATE = 24_000
"""Rate of the API's `pcm` format, in Hz: that of OpenAI and of the servers that follow it."""
MOST_ATTEMPTS = 2
"""Limit on the requests for one clause."""
LONGEST_MS = 60_000
"""Limit on the sound of one clause, in milliseconds; a voice that goes on for longer has failed."""
SOUND_FILES = (b"RIFF", b"ID3", b"\xff\xfb", b"\xff\xf3", b"OggS", b"fLaC")
TEXTS = (b'{"', b"{ ", b"{\n", b"{\r", b"<!", b"<?", b"<h", b"<H")
"""First bytes of JSON and HTML. Two each: as one sample they are loud, while quiet sound may begin with one."""
FILE_STARTS = SOUND_FILES + TEXTS
LONGEST_START = max(map(len, FILE_STARTS))


@dataclass(frozen=True)
class Api:
    """The voice of an API. `connect` limits the time to connect, `silence` the gap between two pieces, in seconds."""

    base_url: str
    key: str | None = field(repr=False)
    model: str
    voice: str
    language: str
    connect: float
    silence: float


class ApiVoice:
    """A synthesiser whose clauses are spoken by an API; `rate` is that of the PCM it yields."""

    name = "api"

    def __init__(self, api: Api, rate: int) -> None:
        self._api = api
        self.rate = rate
        self.english = api.language == "en"
        self.description = f"{api.voice} of {api.model} at {api.base_url}"

    def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
        """Yield the clause as it arrives, and its words behind its sound: only then is its length known.

        Raises an UpstreamError.
        """
        pcm = bytearray()
        for piece in self._resampled(self._received(clause.spoken)):
            yield AudioPiece(piece, "" if pcm else clause.text)
            pcm += piece
        if not pcm:
            raise UpstreamEmptyResponse("the speech synthesis gave no sound")
        yield AudioPiece(words=word_estimation.estimate(clause.text, bytes(pcm), self.rate))

    def warm(self) -> None:
        """Import the client, which takes a second, ahead of the first clause."""
        _ = self._client

    def close(self) -> None:
        """Close the idle connections."""
        self._client.close()

    @functools.cached_property
    def _client(self) -> Any:
        """The API's client, made when it is first needed."""
        import httpx2
        import openai

        timeout = httpx2.Timeout(self._api.silence, connect=self._api.connect)
        return openai.OpenAI(
            base_url=self._api.base_url,
            api_key=self._api.key or "none",
            # Without these the client reads the environment, whose variables belong to the model or another program.
            organization="",
            project="",
            max_retries=0,
            http_client=openai.DefaultHttpxClient(timeout=timeout, follow_redirects=False),
        )

    def _received(self, text: str) -> Iterator[bytes]:
        """Yield the API's PCM as it comes, cut anywhere; a request that fails before its sound is sent once more.

        Raises an UpstreamError, and logs it: a turn has two upstreams, and its own record names one error.
        """
        for attempts_left in reversed(range(MOST_ATTEMPTS)):
            received = False
            try:
                for piece in self._streamed(text):
                    checkpoint()  # the client waits for nothing that has arrived already
                    received = True
                    yield piece
                return
            except UpstreamError as error:
                # After a timeout the listener has waited long enough. Behind sound a second attempt would repeat it.
                may_help = error.retryable and not isinstance(error, UpstreamTimeout)
                if received or not may_help or not attempts_left:
                    log.warning("voice_failed", voice=self.name, code=error.code, reason=error.message)
                    raise

    def _streamed(self, text: str) -> Iterator[bytes]:
        """Yield the API's PCM from one request. Raises an UpstreamError."""
        import httpx2
        import openai

        wanted = {"input": text, "model": self._api.model, "voice": self._api.voice, "response_format": "pcm"}
        # The raw stream is read below: nothing would decompress it.
        as_it_is = {"accept-encoding": "identity"}
        try:
            response = self._client.audio.speech.with_streaming_response.create(
                **wanted, extra_headers=as_it_is
            ).__enter__()
            try:
                yield from _checked(iter(response.http_response.stream))
            finally:
                # In a greenlet of its own, not by `iter_bytes` at its end: closing may wait for a lock of the pool, and
                # a turn that is ended just then would leave the connection neither used nor free for ever.
                gevent.spawn(response.close)
        except openai.APIStatusError as exc:
            raise _error_for_status(exc.status_code) from exc
        except openai.APITimeoutError as exc:
            raise UpstreamTimeout("the speech synthesis did not begin in time") from exc
        except httpx2.TimeoutException as exc:
            raise UpstreamStalled("the speech synthesis fell silent") from exc
        except openai.APIConnectionError as exc:
            raise UpstreamUnreachable("the speech synthesis can't be reached") from exc
        except httpx2.HTTPError as exc:
            raise UpstreamDisconnected("the connection to the speech synthesis broke") from exc

    def _resampled(self, received: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the received sound at our rate, in whole samples. Raises UpstreamBadResponse beyond `LONGEST_MS`."""
        resampler = Resampler(RATE, self.rate)
        odd, size = b"", 0
        for piece in received:
            size += len(piece)
            if pacing.duration_ms(size, RATE) > LONGEST_MS:
                raise UpstreamBadResponse("the speech synthesis does not end")
            sound = odd + piece
            whole = len(sound) // 2 * 2
            odd = sound[whole:]
            if ready := to_int16(resampler.resample(from_int16(sound[:whole]))):
                yield ready
        if ready := to_int16(resampler.flush()):
            yield ready


def _checked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a sound. Raises UpstreamBadResponse if it begins as a file or a text does."""
    # The first piece may be one byte long.
    begun = b""
    for piece in pieces:
        begun += piece
        if len(begun) >= LONGEST_START:
            break
    if begun.startswith(FILE_STARTS):
        raise UpstreamBadResponse("the speech synthesis sent a file or a text where PCM was asked for")
    if begun:
        yield begun
    yield from pieces


def _error_for_status(status: int) -> UpstreamError:
    """Return the error for an answer with a status other than 200."""
    if status in (401, 403):
        return UpstreamAuthFailed("the speech synthesis refused the server's own key")
    if 300 <= status < 400:
        return UpstreamRedirect("the speech synthesis redirects elsewhere; set TTS_BASE_URL to its final address")
    return UpstreamError(f"the speech synthesis answered with status {status}")
