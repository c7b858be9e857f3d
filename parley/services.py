"""The objects that live as long as a worker, made of the settings: keys, slots, upstream, knowledge, recordings, voice.

Nothing is opened before it is first needed, or before `warm` is called.
"""

import contextlib
import functools
import random
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import gevent
from gevent.threadpool import ThreadPool

from parley.admission import Admission, Keyring
from parley.concurrency import checkpoint, run_in_thread, thread_pool
from parley.environment.variables import environment
from parley.errors import ParleyError
from parley.knowledge import minilm, multilingual
from parley.knowledge.bases import Bases
from parley.knowledge.encoders import CACHE_FILE, ApiEncoder, EmbeddedEncoder, Encoders, IndexFactory
from parley.knowledge.retriever import Retriever
from parley.knowledge.sources import FolderSource, Source
from parley.knowledge.vector_cache import VectorCache
from parley.settings import OPENAI_BASE_URL, Settings, SettingsError
from parley.speech import voice_package as embedded_speech
from parley.speech.api_voice import Api, ApiVoice
from parley.speech.embedded_voice import EmbeddedVoice
from parley.speech.pronunciation import PronunciationFile
from parley.speech.recordings import Library
from parley.speech.synthesis import CachingSynthesiser, PlaceholderVoice, Synthesiser
from parley.telemetry import logs
from parley.telemetry.logs import log
from parley.telemetry.redaction import Redactor
from parley.tools.running import ToolRunner
from parley.upstream.chat_api import ChatApi
from parley.upstream.embedded import model_process
from parley.upstream.embedded.client import EmbeddedUpstream
from parley.upstream.retries import retry_after
from parley.upstream.router import KnowledgeOnly, Upstream, UpstreamRouter
from parley.upstream.status_errors import error_for_status
from parley.upstream.timeouts import Timeouts

if TYPE_CHECKING:
    from parley.knowledge.database.connections import Connections
    from parley.tools.toolbox import Toolbox

QUOTED_MODEL = "knowledge-quotes"
"""Name of the model in the answers of a server that has none, and quotes its knowledge."""
NO_HOOKS = (
    "gunicorn.conf.py was not read: changed files are not noticed, no embedded model is started, calls are cut at the "
    "stop, a log reader that stalls stops calls, and gunicorn's control socket is open; "
    "start `gunicorn -k gevent app:app` in the project's folder"
)
"""Fault of a start without the hooks of gunicorn.conf.py, until they have run."""

DEFAULT_TOOLS_DIR = "tools"
"""Folder of the tools that nobody misses where it is not there."""
Look = TypeVar("Look")


class Services:
    """Everything that the answers share."""

    def __init__(self, settings: Settings, upstream: Upstream | None = None) -> None:
        self.settings = settings
        self.keyring = Keyring(settings.api_keys)
        self.admission = Admission(settings.max_streams, settings.max_streams_per_key, settings.rate_limit)
        self.upstream = upstream or upstream_of(settings)
        self.index_factory = index_factory_of(settings)
        # None without DATABASE_URL.
        self.database: Connections | None = None
        # No caller waits for a reload: its steps come behind those of all streams.
        in_background = functools.partial(checkpoint, background=True)
        self.knowledge = Retriever(
            Bases(self._knowledge_source(), self.index_factory.build, in_background),
            timeout=settings.rag_timeout,
            poll=settings.kb_poll,
        )
        # None where there is no folder of tools: nothing of them is asked for then.
        self.toolbox = self._toolbox()
        self.tool_runner = ToolRunner(timeout=settings.tool_timeout, budget=settings.tool_budget)
        self.draining = False
        # Fault of this process's start, and whether it was logged; the hook of a worker's start sets both.
        self.start_fault = NO_HOOKS
        self.start_fault_is_logged = False
        self._last_phrase = ""

    def _knowledge_source(self) -> Source:
        """Return what the knowledge comes from: the database, if the settings name one, else the folder.

        Raises SettingsError if a package for the database is missing.
        """
        settings = self.settings
        if settings.database_url is None:
            return FolderSource(settings.kb_dir, self._look_in_thread)
        # perf: saves 90 ms and 9 MiB (a start without a database)
        from parley.knowledge.database import address

        if fault := address.missing_package():
            raise SettingsError(fault)
        from parley.knowledge.database.connections import Connections
        from parley.knowledge.database.snapshots import Snapshots
        from parley.knowledge.database.source import DatabaseSource, address_key

        self.database = Connections(settings.database_url, settings.database_pool)
        copies = Snapshots(settings.embeddings_cache, address_key(settings.database_url))
        return DatabaseSource(self.database, copies)

    @property
    def database_state(self) -> str:
        """`off` without a database, `ok` or `down` with one."""
        return self.database.state if self.database else "off"

    @property
    def has_model(self) -> bool:
        """True if anything but the knowledge can answer: an API, or the embedded model."""
        return self.upstream.prompt_form != "none"

    @property
    def quotes(self) -> bool:
        """True if /rag is answered in the words of the knowledge, because there is no model that is good enough."""
        return self.upstream.prompt_form != "reference"

    @property
    def default_model(self) -> str:
        """The model that answers if the request names none."""
        return self.upstream.model or (self.settings.llm_model if self.has_model else QUOTED_MODEL)

    def unavailable_reason(self) -> ParleyError | None:
        """Return the reason why no question can be answered now, or None."""
        has_knowledge = self.knowledge.bases.state in ("ok", "degraded")
        return None if has_knowledge and not self.has_model else self.upstream.unavailable_reason()

    @functools.cached_property
    def _folder_thread(self) -> ThreadPool:
        return thread_pool(1)

    def _look_in_thread(self, look: Callable[[], Look]) -> Look:
        """Return the result of a look at the operator's folders, done in a thread of its own: a disk may be slow."""
        return run_in_thread(self._folder_thread, look)

    @functools.cached_property
    def recordings(self) -> Library:
        """The recordings of `AUDIO_DIR`, at the rate that is sent; faulty ones are logged and left out."""
        started = time.monotonic()
        library = Library.load(self.settings.audio_dir, self.settings.audio_sample_rate)
        for problem in library.problems:
            log.warning("recording_fault", fault=problem)
        if library.estimated:
            log.info("words_estimated", recordings=library.estimated, hint="`flask audio align NAME` measures them")
        log.info("recordings_loaded", recordings=len(library.names), ms=_ms_since(started))
        return library

    @property
    def has_voice(self) -> bool:
        """True if texts are to be said: the operator has set `AUDIO_MODE`, or named the voice of an API."""
        settings = self.settings
        return settings.audio_mode == "speech" or bool(settings.tts_base_url or settings.tts_api_key)

    @functools.cached_property
    def synthesis(self) -> CachingSynthesiser:
        """The voice, with the sound of the phrases that recur kept in memory."""
        phrases = [*map(ended, self.waiting_messages("")), self.settings.fallback_text or ""]
        pronunciation_file = PronunciationFile(self.settings.audio_dir)
        return CachingSynthesiser(voice_of(self.settings), phrases, pronunciation_file=pronunciation_file)

    def warm(self) -> None:
        """Load everything that the first caller would otherwise wait for, and connect to the upstream meanwhile.

        Raises BadTools.
        """
        self.warm_tools()
        self.upstream.warm(lambda: self.draining)
        self.knowledge.warm()
        _ = self.recordings
        if self.has_voice:
            started = time.monotonic()
            self.synthesis.warm()
            log.info("voice_loaded", voice=self.synthesis.description, ms=_ms_since(started))
            gevent.spawn(self._rehearse)

    def _toolbox(self) -> "Toolbox | None":
        """Return the tools of `TOOLS_DIR`, which nothing has read yet; None without the folder."""
        settings = self.settings
        if not settings.tools_dir.is_dir():
            return None
        # perf: saves 20 ms (a start without tools)
        from parley.tools import mcp_client
        from parley.tools.toolbox import Toolbox

        return Toolbox(
            settings.tools_dir,
            environment(),
            connect_timeout=settings.connect_timeout,
            poll=settings.kb_poll,
            look=self._look_in_thread,
            connect_mcp=mcp_client.Server,
            hide=logs.hide,
        )

    def warm_tools(self) -> None:
        """Load the tools, and warn if strangers could have one called that changes something. Raises BadTools."""
        if self.toolbox is None:
            if self.settings.tools_dir != Path(DEFAULT_TOOLS_DIR):
                log.warning("tools_missing", fault=f"there is no folder {self.settings.tools_dir} (TOOLS_DIR)")
            return
        self.toolbox.warm()
        if self.settings.api_keys is None and (writing := self.toolbox.writing):
            fault = "API_KEYS is not set: anybody who reaches the port can have tools called that change something"
            log.warning("open_tools", fault=fault, tools=", ".join(writing))

    def _rehearse(self) -> None:
        # The voice has logged its failure; the phrases are said when they are needed.
        with contextlib.suppress(ParleyError):
            self.synthesis.rehearse()

    def waiting_message(self, kb: str = "", own: Sequence[str] = ()) -> str:
        """Return a phrase for the time of a lookup in a base, or of a tool, never the same twice running.

        A tool's `own` phrases stand in place of the base's. It ends with a mark and a space, so that speech starts at
        once and the answer does not stick to it.
        """
        phrases = tuple(own) or self.waiting_messages(kb)
        # A single phrase has no others, and is repeated.
        others = [phrase for phrase in phrases if phrase != self._last_phrase] or phrases
        self._last_phrase = random.choice(others)
        return f"{ended(self._last_phrase)} "

    def waiting_messages(self, kb: str) -> tuple[str, ...]:
        """Return the waiting messages of a base: its own, else the operator's, else those of its language."""
        base = self.knowledge.settings_of(kb)
        return base.waiting_messages or self.settings.waiting_messages or base.spoken_language.waiting_messages


def ended(phrase: str) -> str:
    """Return the phrase with a full stop if it ends with a letter or a digit; behind markup or a mark as it is."""
    # Combining marks belong to the letter before them.
    if unicodedata.category(phrase[-1:] or ".")[0] not in "LMN" or phrase.endswith("\ufe0f"):
        return phrase
    return f"{phrase}。" if "\u2e80" <= phrase[-1] <= "\u9fff" else f"{phrase}."


def index_factory_of(settings: Settings) -> IndexFactory:
    """Return the factory of the knowledge bases' indexes, with the settings' encoders, cache and thresholds."""
    return IndexFactory(
        encoders_of(settings),
        vector_cache_of(settings),
        min_coverage=settings.rag_min_coverage,
        min_evidence=settings.rag_min_evidence,
    )


def encoders_of(settings: Settings) -> Encoders:
    """Return the encoder that the settings name, for all languages, else the embedded ones that are installed."""
    if settings.rag_tier == "lexical":
        return Encoders()
    if settings.embeddings_base_url:
        encoder = ApiEncoder(
            settings.embeddings_base_url,
            settings.embeddings_api_key,
            settings.embeddings_model,
            timeout=settings.embeddings_timeout,
            connect_timeout=settings.connect_timeout,
        )
        return Encoders(encoder, encoder)
    timeout = settings.embeddings_timeout
    return Encoders(
        EmbeddedEncoder.for_english(timeout) if minilm.installed() else None,
        EmbeddedEncoder.for_other_languages(timeout) if multilingual.installed() else None,
    )


def vector_cache_of(settings: Settings) -> VectorCache:
    """Return the cache of vectors in the folder that the settings name."""
    return VectorCache(settings.embeddings_cache / CACHE_FILE)


def voice_of(settings: Settings) -> Synthesiser:
    """Return the voice that the settings name: an API's, else the embedded one if it is installed, else soft tones."""
    rate = settings.audio_sample_rate
    if settings.tts_base_url or settings.tts_api_key:
        return ApiVoice(speech_api_of(settings), rate)
    return EmbeddedVoice(rate) if embedded_speech.installed() else PlaceholderVoice(rate)


def speech_api_of(settings: Settings) -> Api:
    """Return the speech API that the settings name, with the model's limits in time and its meaning of refusals."""
    url = settings.tts_base_url or OPENAI_BASE_URL
    redactor = Redactor([url, urlsplit(url).netloc, *settings.secrets])
    return Api(
        url,
        settings.tts_api_key,
        settings.tts_model,
        settings.tts_voice,
        settings.tts_language,
        connect=settings.connect_timeout,
        first_sound=settings.ttft_timeout,
        precommit=settings.precommit_timeout,
        silence=settings.idle_timeout,
        total=settings.stream_timeout,
        max_idle=settings.max_streams,
        # With or without a key, what this API refuses is for the operator to mend.
        error_for_status=functools.partial(error_for_status, redactor=redactor, own_key=True),
        retry_after=retry_after,
    )


def upstream_of(settings: Settings) -> Upstream:
    """Return the upstream that the settings name: an API and its fallbacks, else the embedded model, else none."""
    timeouts = Timeouts(
        connect=settings.connect_timeout,
        first_content=settings.ttft_timeout,
        precommit=settings.precommit_timeout,
        idle=settings.idle_timeout,
        total=settings.stream_timeout,
    )
    upstreams = [*_first_upstream(settings, timeouts), *_fallbacks(settings, timeouts)]
    if not upstreams:
        return KnowledgeOnly()
    return UpstreamRouter(
        upstreams,
        timeouts,
        tick=settings.heartbeat or settings.idle_timeout,
        hedge_after=settings.hedge_after / 1000 if settings.hedge_after else None,
        # FALLBACK_TEXT is spoken in place of an answer without a word.
        passes_wordless=not settings.fallback_text,
    )


def _first_upstream(settings: Settings, timeouts: Timeouts) -> list[ChatApi]:
    if settings.model_url:
        return [
            ChatApi(
                "primary",
                settings.model_url,
                settings.llm_api_key,
                settings.llm_model,
                timeouts,
                # Each turn may need a connection, and each that it leaves behind saves the next one a handshake.
                max_idle=settings.max_streams,
                forward_fields=settings.llm_forward_fields,
                spare=settings.spare_connections,
                headers=settings.llm_headers,
                params=settings.llm_params,
                # A key of ours is never sent upstream: tokens are forwarded only while the server is open.
                forward_token=not settings.authenticates and not settings.api_keys,
                secrets=settings.secrets,
            )
        ]
    # For `flask` commands there is no master that could have started it.
    if model_process.running:
        return [
            EmbeddedUpstream(model_process.running, timeouts, max_idle=settings.max_streams, params=settings.llm_params)
        ]
    return []


def _fallbacks(settings: Settings, timeouts: Timeouts) -> list[ChatApi]:
    return [
        ChatApi(
            f"fallback-{number}",
            fallback.base_url,
            fallback.key,
            fallback.model or settings.llm_model,
            timeouts,
            max_idle=settings.max_streams,
            forward_fields=settings.llm_forward_fields,
            fixed_model=fallback.model,
            # Its own alone: LLM_HEADERS may hold a key of the first upstream, and LLM_PARAMS what only that one knows.
            headers=fallback.headers,
            params=fallback.params,
            spare=settings.spare_connections,
            secrets=settings.secrets,
        )
        for number, fallback in enumerate(settings.llm_fallbacks, start=1)
    ]


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
