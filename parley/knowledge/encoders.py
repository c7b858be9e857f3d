"""The encoders of the semantic tier, and the index factory that uses them: vectors are made beside the streams.

The embedded encoder computes in two threads of its own, never in the event loop; an API is called from a greenlet. A
failure costs vectors, never the index: the lexical tier answers, and the passages are tried again later.
"""

import contextlib
import dataclasses
import functools
import re
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import gevent
import numpy as np

from parley import concurrency
from parley.errors import ParleyError
from parley.knowledge import index, minilm, multilingual
from parley.knowledge.base_settings import NO_SETTINGS, BaseSettings
from parley.knowledge.documents import Passage
from parley.knowledge.embeddings_api import EmbeddingsApi
from parley.knowledge.index import Index
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import EXAMPLES, Calibration, Encoder, EncoderFailed, SemanticIndex, encode
from parley.knowledge.stored_vectors import StoredVectors
from parley.knowledge.tiers import Tier
from parley.knowledge.vector_cache import Vectors, content_key
from parley.languages import ENGLISH
from parley.languages.language import Language
from parley.telemetry.logs import log

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses in seconds after failures to encode passages, one after another; the last is repeated."""

PASSAGES_TIMEOUT = 30.0
"""Longest time in seconds for the vectors of a batch of passages, for which no caller waits."""

CACHE_FILE = "embeddings.sqlite"
"""Name of the vector cache's file."""

Result = TypeVar("Result")


class ThreadedEncoder:
    """An encoder's two threads, for work that would hold up the event loop."""

    def __init__(self) -> None:
        self._pool = concurrency.thread_pool(2)

    def run_in_thread(self, work: Callable[[], Result]) -> Result:
        """Return the result of the work, done in one of the threads."""
        return concurrency.run_in_thread(self._pool, work)


class EmbeddedModel(Protocol):
    """A loaded model. Threads may encode at the same time."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return a vector of length 1 for each text, as rows."""
        ...


class EmbeddedEncoder(ThreadedEncoder):
    """A model on this machine. It is loaded by `load`, or when the first text is to be encoded.

    `timeout` is for a query, in seconds.
    """

    batch = 8

    def __init__(
        self, name: str, load_model: Callable[[], EmbeddedModel], calibration: Calibration, timeout: float
    ) -> None:
        super().__init__()
        self.name = name
        self.calibration = calibration
        self._load_model = load_model
        self._timeout = timeout
        self._loading = concurrency.lock()
        self._model: EmbeddedModel | None = None

    @classmethod
    def for_english(cls, timeout: float) -> "EmbeddedEncoder":
        """Return the encoder all-MiniLM-L6-v2."""
        return cls(minilm.NAME, minilm.MiniLm, minilm.CALIBRATION, timeout)

    @classmethod
    def for_other_languages(cls, timeout: float) -> "EmbeddedEncoder":
        """Return the multilingual encoder."""
        return cls(multilingual.NAME, multilingual.Multilingual, multilingual.CALIBRATION, timeout)

    def load(self) -> None:
        """Load the model and use it once, so that the first question does not wait for it. A loaded one stays."""
        if self._model is not None:
            return
        # `_encode` has logged the failure.
        with contextlib.suppress(EncoderFailed):
            self.passages(["Good morning."])
            log.info("encoder_loaded", encoder=self.name)

    def passages(self, texts: Sequence[str]) -> Floats:
        """Return a vector for each text, as rows. Raises EncoderFailed."""
        vectors = self.run_in_thread(lambda: self._encode(texts))
        if isinstance(vectors, EncoderFailed):
            raise vectors
        return vectors

    def query(self, texts: Sequence[str]) -> Floats:
        """Like `passages`, but raise EncoderFailed after the timeout."""
        with gevent.Timeout(self._timeout, EncoderFailed("the encoder took too long")):
            return self.passages(texts)

    def _encode(self, texts: Sequence[str]) -> Floats | EncoderFailed:
        """Runs in a thread. A failure is returned, not raised: gevent's pool would print its traceback."""
        try:
            # The first passages and `load` come at the same time, in both threads; `cached_property` has no lock any
            # more (Python 3.12), and the model would be loaded twice.
            with self._loading:
                if self._model is None:
                    self._model = self._load_model()
            return self._model.encode(texts)
        except Exception:  # noqa: BLE001 - the boundary to the network's libraries
            log.exception("encoder_failed", encoder=self.name)
            return EncoderFailed("the embedded encoder failed")


class ApiEncoder(ThreadedEncoder):
    """A model behind an OpenAI-compatible API. `timeout` is for a query, in seconds."""

    batch = 24
    # Of a model that nobody has measured: the thresholds of the English one, and nothing on small talk.
    calibration = dataclasses.replace(
        minilm.CALIBRATION, min_small_talk=None, min_quoted=minilm.CALIBRATION.min_evidence
    )

    def __init__(self, base_url: str, key: str | None, model: str, *, timeout: float, connect_timeout: float) -> None:
        super().__init__()
        self._timeout = timeout
        self._api = EmbeddingsApi(base_url, key, model, connect_timeout)
        self.name = f"{base_url} {model}"

    def passages(self, texts: Sequence[str]) -> Floats:
        """Return a vector for each text, as rows. Raises EncoderFailed."""
        return self._encode(texts, PASSAGES_TIMEOUT)

    def query(self, texts: Sequence[str]) -> Floats:
        """Like `passages`, but raise EncoderFailed after the timeout."""
        return self._encode(texts, self._timeout)

    def _encode(self, texts: Sequence[str], seconds: float) -> Floats:
        with gevent.Timeout(seconds, EncoderFailed("the embeddings API took too long")):
            try:
                return self._api.encode(texts, seconds)
            except ParleyError as exc:
                # Not UpstreamError alone: where no file is left for a connection, ServerOverloaded is raised.
                raise EncoderFailed(str(exc)) from exc


@dataclass(frozen=True)
class Encoders:
    """The encoders for English and for other languages; None where there is none."""

    english: Encoder | None = None
    others: Encoder | None = None

    def of(self, language: Language) -> Encoder | None:
        """Return the encoder for this language."""
        return self.english if language is ENGLISH else self.others

    def named(self, name: str) -> Encoder | None:
        """Return the encoder of this name, one of `base_settings.ENCODERS`."""
        return {"english": self.english, "multilingual": self.others}.get(name)

    def labels(self) -> list[str]:
        """Return the names of the encoders, as they may be shown."""
        return [label_of(encoder) for encoder in (self.english, self.others) if encoder]


def label_of(encoder: Encoder) -> str:
    """Return the name of an encoder as it may be shown to whoever reads a database: without what a URL hides."""
    return re.sub(r"\?\S*", "", re.sub(r"//[^/@\s]*@", "//", encoder.name))


class IndexFactory:
    """Makes the indexes of the knowledge bases: semantic with an encoder for their language, lexical without one.

    `min_coverage` and `min_evidence` are the two tiers' thresholds below which a search finds nothing; without a
    `min_evidence` each encoder has its own. A base's own settings win over both.
    """

    def __init__(self, encoders: Encoders, cache: Vectors, *, min_coverage: float, min_evidence: float | None) -> None:
        self._encoders = encoders
        self._cache = cache
        self._min_coverage = min_coverage
        self._min_evidence = min_evidence
        self._logged: set[str] = set()
        self.failure: str | None = None
        self._told: set[str] = set()
        # Vectors of small talk by encoder, for bases that are not in memory.
        self._examples: dict[str, Floats] = {}

    @property
    def state(self) -> str | None:
        """`ok`, or why questions are answered by words alone; None without an encoder."""
        return None if self._encoders == Encoders() else self.failure or "ok"

    def build(
        self,
        passages: Sequence[Passage],
        breathe: Callable[[], None],
        settings: BaseSettings = NO_SETTINGS,
        vectors: StoredVectors | None = None,
    ) -> Index:
        """Return an index of these passages, with the vectors that came with them.

        The semantic tier's other vectors follow in the background.
        """
        lexical = index.build(passages, breathe, settings, self._min_coverage)
        language = lexical.language
        encoder = self.encoder_for(settings, language)
        # The folder without knowledge of its own is a base as well, of no language.
        if passages:
            self._log_tier(language, encoder, by_choice=settings.encoder == "none")
        if encoder is None:
            return lexical
        # At once: with all vectors in the cache, nothing else would load the model before the first question.
        if isinstance(encoder, EmbeddedEncoder):
            gevent.spawn(encoder.load)

        # By a weak reference: an index that a reload has replaced must not be kept by its own filling.
        def fill(index: SemanticIndex) -> None:
            gevent.spawn(self._fill, weakref.ref(index), len(passages))

        built = SemanticIndex(
            lexical,
            encoder,
            vectors.in_front_of(self._cache, breathe) if vectors else self._cache,
            self._min_evidence if settings.min_evidence is None else settings.min_evidence,
            gated=settings.gated,
            on_failure=functools.partial(self._failed, "query_not_encoded"),
            on_success=functools.partial(self._succeeded, encoder.name),
            on_outdated=fill,
        )
        if vectors and self._are_ours(vectors, encoder, passages):
            # At once: nobody shall be answered by words alone, because a base is new.
            with contextlib.suppress(EncoderFailed):
                while not built.ready:
                    built.fill()
        fill(built)
        return built

    def prepare(self, settings: BaseSettings) -> None:
        """Load the encoder of a base beside: whoever asks for the base first does not wait for it then."""
        encoder = self.encoder_for(settings, settings.spoken_language)
        if isinstance(encoder, EmbeddedEncoder):
            gevent.spawn(encoder.load)

    def tier_for(self, settings: BaseSettings, language: Language, published: str) -> Tier:
        """Return how a base is searched that stays where it is; `published` is the name of its vectors' maker."""
        encoder = self.encoder_for(settings, language)
        self._log_tier(language, encoder, by_choice=settings.encoder == "none")
        if encoder is not None and label_of(encoder) != published:
            self._tell_difference(published, encoder, "until it is published with ours")
            encoder = None
        if encoder is None:
            return Tier(None, self._min_coverage)
        if isinstance(encoder, EmbeddedEncoder):
            gevent.spawn(encoder.load)
        if settings.gated and encoder.calibration.min_small_talk is not None and encoder.name not in self._examples:
            gevent.spawn(self._learn_examples, encoder)
        least = self._min_evidence if settings.min_evidence is None else settings.min_evidence
        return Tier(
            encoder,
            self._min_coverage,
            encoder.calibration.min_evidence_for(language) if least is None else least,
            functools.partial(self._examples.get, encoder.name if settings.gated else ""),
            functools.partial(self._failed, "query_not_encoded"),
            functools.partial(self._succeeded, encoder.name),
        )

    def _learn_examples(self, encoder: Encoder) -> None:
        """Get the vectors of small talk, which loads the encoder, too."""
        for pause in (*RETRY_SECONDS, None):
            try:
                self._examples[encoder.name] = np.concatenate(encode(encoder, EXAMPLES))
                return
            except EncoderFailed as failure:
                self._failed("passages_not_encoded", failure)
                if pause is not None:
                    gevent.sleep(pause)

    def encoder_for(self, settings: BaseSettings, language: Language) -> Encoder | None:
        """Return the encoder of a base: the one that its settings name, else that of its language."""
        return self._encoders.named(settings.encoder) if settings.encoder else self._encoders.of(language)

    def _are_ours(self, vectors: StoredVectors, encoder: Encoder, passages: Sequence[Passage]) -> bool:
        """Return True if all passages came with vectors of this encoder; tell once of one that others made."""
        if vectors.holds(content_key(encoder.name, passage.title, passage.text) for passage in passages):
            return True
        if passages:
            self._tell_difference(vectors.encoder, encoder, "until ours are made")
        return False

    def _tell_difference(self, published: str, encoder: Encoder, until: str) -> None:
        """Log once that a base was published with vectors of another encoder."""
        if published in self._logged:
            return
        self._logged.add(published)
        hint = f"the knowledge was published with other vectors: it is searched by words {until}"
        log.warning("encoder_differs", published=published or None, ours=label_of(encoder), hint=hint)

    def _log_tier(self, language: Language, encoder: Encoder | None, *, by_choice: bool) -> None:
        """Log how bases of a language are searched, once a process; also what would search them by meaning."""
        tier = "lexical" if encoder is None else "semantic"
        if f"{language.code} {tier}" in self._logged:
            return
        self._logged.add(f"{language.code} {tier}")
        hint = {}
        if encoder is None and not by_choice and self._encoders.english and self._encoders.others is None:
            hint["hint"] = "requirements-multilingual.txt has an encoder for this language"
        log.info("retrieval", language=language.code, tier=tier, encoder=encoder and encoder.name, **hint)

    def _failed(self, event: str, failure: EncoderFailed) -> None:
        """Log a failure, once for each reason until the encoder answers again: every question meets it."""
        self.failure = str(failure)
        if self.failure not in self._told:
            self._told.add(self.failure)
            log.warning(event, reason=self.failure)

    def _succeeded(self, encoder: str) -> None:
        if self.failure:
            self.failure = None
            self._told.clear()
            log.info("encoder_recovered", encoder=encoder)

    def _fill(self, reference: "weakref.ref[SemanticIndex]", passages: int) -> None:
        """Get the vectors of an index, for as long as the index is in use: a reload may replace it meanwhile."""
        failures = 0
        while (built := reference()) is not None and not built.ready:
            encoder = built.encoder.name
            try:
                built.fill()
                del built
            except EncoderFailed as exc:
                # Not held during the pause either.
                del built
                self._failed("passages_not_encoded", exc)
                gevent.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
            else:
                failures = 0
                self._succeeded(encoder)
        if built is not None:
            log.info("embeddings_ready", passages=passages)


def make_ready(built: Index) -> None:
    """Get an index its vectors and load its encoder now, for a command. Raises EncoderFailed."""
    while isinstance(built, SemanticIndex) and not built.ready:
        built.fill()
    # With all vectors in the cache the model is still being loaded, for longer than a question may wait.
    if isinstance(built.compared_by, EmbeddedEncoder):
        built.compared_by.load()


def index_without_threshold(passages: Sequence[Passage], encoder: Encoder | None, cache: Vectors) -> Index:
    """Return a complete index that finds something for every question, for measuring. Raises EncoderFailed.

    With an encoder the index is semantic, without one lexical.
    """
    lexical = index.build(passages, min_coverage=0)
    if encoder is None:
        return lexical
    built = SemanticIndex(lexical, encoder, cache, 0, gated=False)
    make_ready(built)
    return built
