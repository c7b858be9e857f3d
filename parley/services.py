"""The objects that live as long as a worker, made of the settings: keys, slots, upstream, knowledge, recordings, voice.

Nothing is opened before it is first needed, or before `warm` is called.
"""

import contextlib
import functools
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import gevent
from gevent.threadpool import ThreadPool

from parley.admission import Admission, Keyring
from parley.concurrency import checkpoint, run_in_thread, thread_pool
from parley.environment.variables import environment, is_hosted
from parley.errors import ParleyError, UnknownAgent
from parley.factories.knowledge import bases_of, index_factory_of
from parley.factories.limits import hints_of, limits_of
from parley.factories.model import upstream_of
from parley.factories.voice import voice_of
from parley.knowledge.retriever import SPREAD, Retriever
from parley.settings import Settings, SettingsError
from parley.speech.pronunciation import PronunciationFile
from parley.speech.recordings import Library
from parley.speech.synthesis import CachingSynthesiser
from parley.telemetry import logs
from parley.telemetry.logs import log
from parley.tools.running import ToolRunner
from parley.upstream.router import Upstream
from parley.wire.phrases import ended, leaving
from parley.wire.request import ChatRequest
from parley.wire.turn_options import TurnOptions

if TYPE_CHECKING:
    from parley.agents.profiles import Profiles
    from parley.memory.sessions import Sessions
    from parley.telemetry.captures import Captures
    from parley.tools.toolbox import Toolbox

QUOTED_MODEL = "knowledge-quotes"
"""Name of the model in the answers of a server that has none, and quotes its knowledge."""
NO_HOOKS = (
    "gunicorn.conf.py was not read: changed files are not noticed, no embedded model is started, calls are cut at the "
    "stop, a log reader that stalls stops calls, and gunicorn's control socket is open; "
    "start `gunicorn -k gevent app:app` in the project's folder"
)
"""Fault of a start without the hooks of gunicorn.conf.py, until they have run."""

DEFAULT_FOLDERS = (Path("tools"), Path("agents"))
"""Folders of tools and agents that nobody misses where they are not there."""
LAST_WRITES_SECONDS = 1.0
"""Longest time that a stopping worker waits for the memory of its last turns to be written."""
Look = TypeVar("Look")


class Services:
    """Everything that the answers share. Raises SettingsError for settings that can't work together."""

    def __init__(self, settings: Settings, upstream: Upstream | None = None) -> None:
        if fault := settings.redis_fault:
            raise SettingsError(fault)
        self.settings = settings
        self.keyring = Keyring(settings.api_keys)
        self.link, places, rate = limits_of(settings, self.keyring.lasting_name)
        self.admission = Admission(settings.max_streams, places, rate)
        self.upstream = upstream or upstream_of(settings)
        self.hints = hints_of(self.link, self.upstream)
        self.index_factory = index_factory_of(settings, self.link)
        # Few callers wait for a load: its steps come behind those of all streams.
        in_background = functools.partial(checkpoint, background=True)
        self.database, bases = bases_of(settings, self.index_factory, self.look_in_thread, in_background)
        spread = SPREAD if self.database else 0.0
        self.knowledge = Retriever(bases, timeout=settings.rag_timeout, poll=settings.kb_poll, spread=spread)
        # What a turn may do differently for the agent that it is for.
        self.options = TurnOptions(
            waiting=settings.waiting,
            tool_waiting=settings.tool_waiting,
            fallback_text=settings.fallback_text,
            speech_cleanup=settings.speech_cleanup,
            interruptions=settings.interruptions,
            memory=settings.memory,
        )
        # None where there is no folder of tools, or of agents: nothing of them is asked for then.
        self.toolbox = self._toolbox()
        self.agents = self._agents()
        self.tool_runner = ToolRunner(timeout=settings.tool_timeout, budget=settings.tool_budget)
        # PLAYGROUND, by which nobody is served the page where strangers alone could come for it.
        self.playground = "off" if settings.playground == "auto" and is_hosted() else settings.playground
        # None unless CAPTURE is set, and somebody is served the page that shows it.
        self.captures = self._captures()
        self.draining = False
        # Fault of this process's start, and whether it was logged; the hook of a worker's start sets both.
        self.start_fault = NO_HOOKS
        self.start_fault_is_logged = False
        self.logged_no_session = False
        self._last_phrase = ""

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

    def look_in_thread(self, look: Callable[[], Look]) -> Look:
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
    def _all_options(self) -> list[TurnOptions]:
        """The options of the settings, and of each agent."""
        return [self.options, *(self.agents.all_options if self.agents else ())]

    @property
    def remembers(self) -> bool:
        """True if sessions are remembered, of all agents or of some."""
        return any(one.memory != "off" for one in self._all_options)

    @functools.cached_property
    def sessions(self) -> "Sessions":
        """The memory of conversations; nothing of it is loaded before it is first used."""
        from parley.factories.memory import sessions_of

        return sessions_of(self.settings, self.link)

    def finish(self, seconds: float) -> None:
        """Let what goes on behind the answers end, for so many seconds at most: the worker stops."""
        self.tool_runner.finish(seconds)
        if "sessions" in self.__dict__:
            # Behind the tools, whose late results are remembered.
            self.sessions.finish(LAST_WRITES_SECONDS)

    @property
    def has_voice(self) -> bool:
        """True if texts are to be said: the operator has set `AUDIO_MODE`, or named the voice of an API."""
        settings = self.settings
        return settings.audio_mode == "speech" or bool(settings.tts_base_url or settings.tts_api_key)

    @functools.cached_property
    def synthesis(self) -> CachingSynthesiser:
        """The voice, with the sound of the phrases that recur kept in memory."""
        options = self._all_options
        waiting = [*self.waiting_messages(""), *(phrase for one in options for phrase in one.waiting_messages)]
        phrases = [*map(ended, waiting), *(one.fallback_text or "" for one in options)]
        pronunciation_file = PronunciationFile(self.settings.audio_dir)
        return CachingSynthesiser(voice_of(self.settings), phrases, pronunciation_file=pronunciation_file)

    def warm(self) -> None:
        """Load everything that the first caller would otherwise wait for, and connect to the upstream meanwhile.

        Raises FaultyFiles.
        """
        self.warm_files()
        if self.link:
            self.link.start()
        if self.remembers:
            self.sessions.check()
        self.upstream.warm(lambda: self.draining)
        self.knowledge.warm()
        _ = self.recordings
        if self.has_voice:
            started = time.monotonic()
            self.synthesis.warm()
            log.info("voice_loaded", voice=self.synthesis.description, ms=_ms_since(started))
            gevent.spawn(self._rehearse)

    def _captures(self) -> "Captures | None":
        if not self.settings.capture or self.playground == "off":
            return None
        from parley.telemetry.captures import Captures

        return Captures(self.settings.capture, self.settings.secrets)

    def _hide(self, secrets: Iterable[str]) -> None:
        """Leave further secrets out of the log, and out of what is captured."""
        secrets = list(secrets)
        logs.hide(secrets)
        if self.captures is not None:
            self.captures.hide(secrets)

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
            look=self.look_in_thread,
            connect_mcp=mcp_client.Server,
            hide=self._hide,
        )

    def _agents(self) -> "Profiles | None":
        """Return the agents of `AGENTS_DIR`, whose profiles nothing has read yet; None without the folder."""
        settings = self.settings
        if not settings.agents_dir.is_dir():
            return None
        from parley.agents.profiles import Profiles

        poll, look = settings.kb_poll, self.look_in_thread
        return Profiles(settings.agents_dir, self.options, poll=poll, look=look, models=self._models)

    def for_agent(self, chat: ChatRequest) -> ChatRequest:
        """Return a request as it is for the agent that it names, or for the default one. Raises UnknownAgent."""
        if self.agents is not None:
            return self.agents.applied(chat)
        if chat.agent:
            raise UnknownAgent(f"there are no agents on this server ({self.settings.agents_dir})", param="agent")
        return chat

    def _models(self) -> set[str]:
        """Return the names of the models that requests can ask for."""
        own = [self.settings.llm_model, *(fallback.model for fallback in self.settings.llm_fallbacks)]
        return {*filter(None, own), *(str(model["id"]) for model in self.upstream.models())}

    def use_checked(self, tools: Mapping[str, bytes], agents: Mapping[str, bytes]) -> None:
        """Take the files as the master checked them, in place of those in which a worker finds a fault."""
        if self.toolbox:
            self.toolbox.checked = tools
        if self.agents:
            self.agents.checked = agents

    def warm_files(self) -> None:
        """Load agents and tools, and warn if strangers could have one called that changes something.

        Raises FaultyFiles.
        """
        settings = self.settings
        for name, loaded, folder in (
            ("tools", self.toolbox, settings.tools_dir),
            ("agents", self.agents, settings.agents_dir),
        ):
            if loaded is None and folder not in DEFAULT_FOLDERS:
                log.warning(f"{name}_missing", fault=f"there is no folder {folder} ({name.upper()}_DIR)")
        if self.agents is not None:
            self.agents.warm()
        if self.toolbox is None:
            return
        self.toolbox.warm()
        if settings.api_keys is None and (writing := self.toolbox.writing):
            fault = "API_KEYS is not set: anybody who reaches the port can have tools called that change something"
            log.warning("open_tools", fault=fault, tools=", ".join(writing))

    def _rehearse(self) -> None:
        # The voice has logged its failure; the phrases are said when they are needed.
        with contextlib.suppress(ParleyError):
            self.synthesis.rehearse()

    def waiting_message(self, kb: str = "", own: Sequence[str] = (), platform: str = "") -> str:
        """Return a phrase for the time of a lookup in a base, or of a tool, never the same twice running.

        A tool's or an agent's `own` phrases stand in place of the base's. It ends with a mark and a space, as the
        `platform` wants them, so that speech starts at once and the answer does not stick to it.
        """
        phrases = tuple(own) or self.waiting_messages(kb)
        # A single phrase has no others, and is repeated.
        others = [phrase for phrase in phrases if phrase != self._last_phrase] or phrases
        self._last_phrase = random.choice(others)
        return leaving(self._last_phrase, platform)

    def waiting_messages(self, kb: str) -> tuple[str, ...]:
        """Return the waiting messages of a base: its own, else the operator's, else those of its language."""
        base = self.knowledge.settings_of(kb)
        return base.waiting_messages or self.settings.waiting_messages or base.spoken_language.waiting_messages


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
