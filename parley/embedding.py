"""Who encodes texts for the semantic tier, and how vectors get into an index beside the streams.

The embedded encoder calculates in two threads of its own, never in the event loop; an API is asked from a greenlet.
"""

import dataclasses
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar

import gevent

from parley import threads
from parley.concurrency import run_in_thread
from parley.errors import UpstreamError
from parley.knowledge import index, minilm
from parley.knowledge.bases import Builder
from parley.knowledge.documents import Passage
from parley.knowledge.index import Index
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import Encoder, EncoderFailed, SemanticIndex
from parley.knowledge.vector_cache import VectorCache
from parley.logs import log
from parley.settings import Settings
from parley.upstream.embeddings import EmbeddingsApi

RETRY_SECONDS = 30.0
"""Rest after a failure to encode passages."""

PASSAGES_TIMEOUT = 30.0
_CACHE_FILE = "embeddings.sqlite"
Result = TypeVar("Result")


class Threads:
    """Two threads for what would hold up the event loop."""

    def __init__(self) -> None:
        self._pool = threads.pool(2)

    def aside(self, work: Callable[[], Result]) -> Result:
        """What the work gives, done in one of them."""
        return run_in_thread(self._pool, work)


class EmbeddedEncoder(Threads):
    """all-MiniLM-L6-v2 on this machine. Loaded by `load`, or when it is first asked for."""

    name = minilm.NAME
    batch = 8

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout

    @functools.cached_property
    def _model(self) -> minilm.MiniLm:
        return minilm.MiniLm()

    def load(self) -> None:
        """Read the model and use it once, so that the first question does not wait for it."""
        self.passages(["Good morning."])
        log.info("encoder_loaded", encoder=self.name)

    def passages(self, texts: Sequence[str]) -> Floats:
        """A vector for each text."""
        return self.aside(lambda: self._model.encode(texts))

    def query(self, texts: Sequence[str]) -> Floats:
        """The same in time. Raises EncoderFailed."""
        with gevent.Timeout(self._timeout, EncoderFailed("the encoder took too long")):
            return self.passages(texts)


class ApiEncoder(Threads):
    """The model of an API."""

    batch = 24

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        assert settings.embeddings_base_url
        self._timeout = settings.embeddings_timeout
        self._api = EmbeddingsApi(
            settings.embeddings_base_url,
            settings.embeddings_api_key,
            settings.embeddings_model,
            settings.connect_timeout,
        )
        self.name = f"{settings.embeddings_base_url} {settings.embeddings_model}"

    def passages(self, texts: Sequence[str]) -> Floats:
        """A vector for each text. Raises EncoderFailed."""
        return self._encoded(texts, PASSAGES_TIMEOUT)

    def query(self, texts: Sequence[str]) -> Floats:
        """The same in time. Raises EncoderFailed."""
        return self._encoded(texts, self._timeout)

    def _encoded(self, texts: Sequence[str], seconds: float) -> Floats:
        with gevent.Timeout(seconds, EncoderFailed("the embeddings API took too long")):
            try:
                return self._api.encode(texts, seconds)
            except UpstreamError as exc:
                raise EncoderFailed(str(exc)) from exc


def encoder_of(settings: Settings) -> Encoder | None:
    """What the settings name, else the embedded encoder where it is installed, else none."""
    if settings.rag_tier == "lexical":
        return None
    if settings.embeddings_base_url:
        return ApiEncoder(settings)
    return EmbeddedEncoder(settings.embeddings_timeout) if minilm.installed() else None


def builder_of(settings: Settings) -> Builder:
    """How this server makes an index: with meanings where there is an encoder, of words alone where there is none."""
    encoder = encoder_of(settings)
    cache = VectorCache(settings.embeddings_cache / _CACHE_FILE)

    @functools.cache
    def tell_tier() -> None:
        log.info("retrieval", tier="lexical" if encoder is None else "semantic", encoder=encoder and encoder.name)

    def build(passages: Sequence[Passage], breathe: Callable[[], None]) -> Index:
        lexical = index.build(passages, breathe, settings.rag_min_coverage)
        tell_tier()
        if encoder is None:
            return lexical
        if isinstance(encoder, EmbeddedEncoder):
            gevent.spawn(encoder.load)  # though all vectors may be in the cache
        built = SemanticIndex(lexical, encoder, cache, settings.rag_min_cosine, _tell)
        gevent.spawn(_fill, weakref.ref(built), len(passages))
        return built

    return build


def complete(built: Index) -> None:
    """Bring an index its vectors now, for whoever can wait: a command. Raises EncoderFailed."""
    while isinstance(built, SemanticIndex) and not built.ready:
        built.fill()


def unrefusing(passages: Sequence[Passage], tier: str, settings: Settings) -> tuple[Index, float]:
    """An index of one tier that finds something for every question, and the threshold that was left out.

    Raises EncoderFailed where the semantic tier is wanted and there is no encoder.
    """
    lexical = index.build(passages, min_coverage=0)
    if tier == "lexical":
        return lexical, settings.rag_min_coverage
    encoder = encoder_of(dataclasses.replace(settings, embeddings_timeout=PASSAGES_TIMEOUT))  # nobody waits
    if encoder is None:
        raise EncoderFailed("there is no encoder: install requirements-local.txt, or set EMBEDDINGS_BASE_URL")
    built = SemanticIndex(lexical, encoder, VectorCache(settings.embeddings_cache / _CACHE_FILE), 0)
    complete(built)
    return built, settings.rag_min_cosine


def _tell(failure: EncoderFailed) -> None:
    log.warning("query_not_encoded", reason=str(failure))


def _fill(held: "weakref.ref[SemanticIndex]", passages: int) -> None:
    """Bring an index its vectors, for as long as anybody holds it."""
    while (built := held()) is not None and not built.ready:
        try:
            built.fill()
            del built
        except EncoderFailed as exc:
            del built
            log.warning("passages_not_encoded", reason=str(exc), again_after_s=RETRY_SECONDS)
            gevent.sleep(RETRY_SECONDS)
    if built is not None:
        log.info("embeddings_ready", passages=passages)
