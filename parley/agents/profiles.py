"""The profiles of a folder, kept in step with its files, and which of them a request is for.

How a folder is kept: `parley/files/live_folder.py`. The order is that of the files' names.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import gevent

from parley.agents import profile_files
from parley.agents.profile import Profile, with_profile
from parley.agents.profile_files import composed
from parley.errors import UnknownAgent
from parley.files.folder import Fingerprint, json_files
from parley.files.live_folder import LiveFolder
from parley.telemetry.logs import log
from parley.wire.request import ChatRequest
from parley.wire.turn_options import DEFAULTS, TurnOptions

DEFAULT = "default"
"""Name of the profile for requests that name none."""


class Profiles(LiveFolder):
    """The profiles of a folder; `options` are those of the settings, `poll` and `look` those of LiveFolder.

    `models` returns the names of the models behind this server, and may wait for the upstream.
    """

    def __init__(
        self,
        folder: Path,
        options: TurnOptions = DEFAULTS,
        *,
        poll: float = 0.0,
        look: Callable[[Callable[[], Fingerprint]], Fingerprint] = lambda work: work(),
        models: Callable[[], Collection[str]] = lambda: (),
    ) -> None:
        super().__init__(folder, poll=poll, look=look)
        self.memory_fault: str | None = None
        """Reason why no agent can remember on this server, or None."""
        self._options = options
        self._models = models
        self._named: Mapping[str, tuple[Profile, TurnOptions]] = {}
        self._told: set[tuple[str, ...]] = set()

    @property
    def profiles(self) -> list[Profile]:
        """The profiles, in their order."""
        self.load_once()
        return [profile for profile, _ in self._named.values()]

    @property
    def all_options(self) -> list[TurnOptions]:
        """The options of all agents' turns, in their order."""
        self.load_once()
        return [options for _, options in self._named.values()]

    def has(self, name: str) -> bool:
        """Return True if there is an agent of this name."""
        self.load_once()
        return composed(name) in self._named

    def details(self) -> dict[str, int]:
        """Return the number of agents, for /ready."""
        return {"agents": len(self.profiles)}

    def applied(self, chat: ChatRequest) -> ChatRequest:
        """Return a request as it is for its agent, as it came if it is for none. Raises UnknownAgent."""
        self.load_once()
        # One look at what a reload may replace meanwhile.
        named = self._named
        name = chat.agent
        if not name and chat.model and composed(chat.model) in named:
            name = composed(chat.model)
            if (name,) not in self._told:
                self._told.add((name,))
                # In the background: no caller waits for the upstream's list.
                gevent.spawn(self._warn_of_hidden, name)
        found = named.get(composed(name) if name else DEFAULT)
        if found is None and name:
            raise UnknownAgent("there is no agent of this name; GET /models lists them first", param="agent")
        return with_profile(chat, *found, named, self._tell_unknown) if found else chat

    def hidden_models(self) -> list[str]:
        """Return the names of the agents that are models of an upstream, too: no request can ask for these models."""
        models = self._models()
        return [profile.name for profile in self.profiles if profile.name in models]

    def names(self) -> list[str]:
        """Return the names of the profiles' files; see `LiveFolder.names`."""
        return json_files(self._folder)

    def take(self, contents: Mapping[str, bytes | None]) -> list[str]:
        """Load these files; see `LiveFolder.take`."""
        found = profile_files.read_folder(self._folder, contents)
        named = {name: (one, one.options(self._options)) for name, one in found.named.items()}
        faults = list(found.faults)
        if self.memory_fault and (remembering := [name for name, one in named.items() if one[1].memory != "off"]):
            faults.append(f"{', '.join(remembering)}: {self.memory_fault}")
        # All or nothing: a profile may be half of a change of two.
        if not faults:
            self._named = named
            if self._named:
                log.info("agents_loaded", agents=len(self._named))
        return faults

    def tell_faults(self, faults: Sequence[str]) -> None:
        """Log the faults."""
        for fault in faults:
            log.error("agent_fault", fault=fault)

    def tell_kept(self, faults: Sequence[str]) -> None:
        """Log that the profiles that were loaded last serve on."""
        log.warning("agents_kept", fault="; ".join(faults), hint="the agents that were loaded last serve on")

    def tell_failed(self) -> None:
        """Log the exception because of which a reload failed."""
        log.exception("agents_reload_failed")

    def _warn_of_hidden(self, name: str) -> None:
        if name in self.hidden_models():
            fault = f"the agent {name} is called like a model of the upstream: requests for that model are the agent's"
            log.warning("agent_hides_model", agent=name, fault=fault)

    def _tell_unknown(self, agent: str, variable: str) -> None:
        if (agent, variable) not in self._told:
            self._told.add((agent, variable))
            hint = "nothing is put in its place; known are date, time, weekday, request.NAME, template_variables.NAME"
            log.warning("agent_variable_without_value", agent=agent, variable=variable[:64], hint=hint)
