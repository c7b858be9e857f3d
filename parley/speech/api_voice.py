"""A voice behind an OpenAI-compatible API: `POST /audio/speech` for each clause, its PCM streamed.

The openai client is imported when the voice is first needed. Its errors become ours here; what it raises never tells a
caller whose voice it is. Source: https://platform.openai.com/docs/api-reference/audio/createSpeech
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
from parley.logs import log
from parley.speech import estimation, pacing
from parley.speech.resampling import Resampler, from_int16, to_int16
from parley.speech.speakable import Line
from parley.speech.utterances import Piece

RATE = 24_000
"""Of the API's `pcm`: OpenAI's own, and that of the servers that follow it."""
MOST_ATTEMPTS = 2
LONGEST_MS = 60_000
"""Of sound for one clause; a voice that goes on for longer has lost its way."""
FILE_STARTS = (b"RIFF", b"ID3", b"\xff\xfb", b"\xff\xf3", b"OggS", b"fLaC", b"{", b"<")


@dataclass(frozen=True)
class Api:
    """Where the voice is, and within what time (seconds) it must connect, and how long it may be silent."""

    base_url: str
    key: str | None = field(repr=False)
    model: str
    voice: str
    language: str
    connect: float
    silence: float


class ApiVoice:
    """A synthesiser; `rate` is that of the PCM it gives."""

    name = "api"

    def __init__(self, api: Api, rate: int) -> None:
        self._api = api
        self.rate = rate
        self.english = api.language == "en"
        self.description = f"{api.voice} of {api.model} at {api.base_url}"

    def say(self, line: Line, *, urgent: bool = True) -> Iterator[Piece]:
        """The clause as it arrives; its words come behind its sound, for only then is it known how long it lasts.

        Raises an UpstreamError.
        """
        pcm = bytearray()
        for piece in self._resampled(self._received(line.spoken)):
            yield Piece(piece, "" if pcm else line.text)
            pcm += piece
        if not pcm:
            raise UpstreamEmptyResponse("the speech synthesis gave no sound")
        yield Piece(words=estimation.estimate(line.text, bytes(pcm), self.rate))

    def warm(self) -> None:
        """Import the client, which takes a second."""
        _ = self._client

    def close(self) -> None:
        """Close the connections that are kept."""
        self._client.close()

    @functools.cached_property
    def _client(self) -> Any:
        import httpx2
        import openai

        timeout = httpx2.Timeout(self._api.silence, connect=self._api.connect)
        return openai.OpenAI(
            base_url=self._api.base_url,
            api_key=self._api.key or "none",
            # Never what the environment says: those variables are the model's, or another program's.
            organization="",
            project="",
            max_retries=0,
            http_client=openai.DefaultHttpxClient(timeout=timeout, follow_redirects=False),
        )

    def _received(self, text: str) -> Iterator[bytes]:
        """The API's PCM as it comes, cut anywhere; what fails at once is tried again, once.

        Raises an UpstreamError, and logs it: a turn has two upstreams.
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
                may_help = error.retryable and not isinstance(error, UpstreamTimeout)
                if received or not may_help or not attempts_left:
                    log.warning("voice_failed", voice=self.name, code=error.code, reason=error.message)
                    raise

    def _streamed(self, text: str) -> Iterator[bytes]:
        import httpx2
        import openai

        wanted = {"input": text, "model": self._api.model, "voice": self._api.voice, "response_format": "pcm"}
        as_it_is = {"accept-encoding": "identity"}
        try:
            response = self._client.audio.speech.with_streaming_response.create(
                **wanted, extra_headers=as_it_is
            ).__enter__()
            try:
                pieces = iter(response.http_response.stream)
                first = next(pieces, b"")
                if first.startswith(FILE_STARTS):
                    raise UpstreamBadResponse("the speech synthesis sent a file or a text where PCM was asked for")
                if first:
                    yield first
                yield from pieces
            finally:
                # Aside, and not by `iter_bytes` at its end: closing may wait for a lock of the pool's, and a turn that
                # is ended just then would leave the connection neither used nor free for ever.
                gevent.spawn(response.close)
        except openai.APIStatusError as exc:
            raise _verdict(exc.status_code) from exc
        except openai.APITimeoutError as exc:
            raise UpstreamTimeout("the speech synthesis did not begin in time") from exc
        except httpx2.TimeoutException as exc:
            raise UpstreamStalled("the speech synthesis fell silent") from exc
        except openai.APIConnectionError as exc:
            raise UpstreamUnreachable("the speech synthesis can't be reached") from exc
        except httpx2.HTTPError as exc:
            raise UpstreamDisconnected("the connection to the speech synthesis broke") from exc

    def _resampled(self, received: Iterator[bytes]) -> Iterator[bytes]:
        """The same sound at our rate, in whole samples."""
        resampler = Resampler(RATE, self.rate)
        odd, size = b"", 0
        for piece in received:
            size += len(piece)
            if pacing.duration_ms(size, RATE) > LONGEST_MS:
                raise UpstreamBadResponse("the speech synthesis does not end")
            sound = odd + piece
            whole = len(sound) // 2 * 2
            odd = sound[whole:]
            if ready := to_int16(resampler.more(from_int16(sound[:whole]))):
                yield ready
        if ready := to_int16(resampler.rest()):
            yield ready


def _verdict(status: int) -> UpstreamError:
    """The error that stands for an answer with a status other than 200."""
    if status in (401, 403):
        return UpstreamAuthFailed("the speech synthesis refused the server's own key")
    if 300 <= status < 400:
        return UpstreamRedirect("the speech synthesis redirects elsewhere; set TTS_BASE_URL to its final address")
    return UpstreamError(f"the speech synthesis answered with status {status}")
