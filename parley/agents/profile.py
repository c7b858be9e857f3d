"""A profile: what makes one agent differ from another, and its request out of a caller's.

    request --with_profile--> the request with the agent's system prompt, model, parameters and options

Nothing here waits or fails: what can't be used is a fault of the profile's file (`profile_files.py`).
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from parley.agents.variables import SystemPrompt
from parley.wire.params import filled, forced
from parley.wire.request import ChatRequest
from parley.wire.system_messages import SystemMode, with_system
from parley.wire.turn_options import TurnOptions


@dataclass(frozen=True)
class Profile:
    """The profile of one agent.

    `overrides` are the options that it sets, by their names in TurnOptions. `timezone` is that of dates in the prompt,
    None for the server's own.
    """

    name: str
    system: SystemPrompt | None = None
    system_mode: SystemMode = "prepend"
    timezone: ZoneInfo | None = None
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    force: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def options(self, of_settings: TurnOptions) -> TurnOptions:
        """Return the options of this agent's turns: its own, and the settings' where it has none."""
        # Fields that the operator wrote here are meant for the upstream, whatever LLM_FORWARD_FIELDS says of callers.
        forwarded = frozenset({*self.params, *self.force})
        return dataclasses.replace(of_settings, agent=self.name, forwarded=forwarded, **self.overrides)


def with_profile(
    chat: ChatRequest,
    profile: Profile,
    options: TurnOptions,
    names: Collection[str],
    tell_unknown: Callable[[str, str], None],
) -> ChatRequest:
    """Return the request as it is for this agent, whose `options` these are.

    `names` are those of all agents, which no upstream knows as models. `tell_unknown` is called with the agent and each
    variable of its prompt that has no value.
    """
    # A copy: the body as it came is still the caller's.
    body = dict(chat.body)
    if profile.params:
        body = filled(body, profile.params)
    if profile.force:
        body = forced(body, profile.force)
    if profile.model:
        body["model"] = profile.model
    # Chosen by that name, or sent beside the agent's: no upstream knows it.
    elif body.get("model") in names:
        del body["model"]
    if profile.system is not None:
        text = profile.system.fill(chat, datetime.now(profile.timezone), lambda name: tell_unknown(profile.name, name))
        body["messages"] = with_system(chat.messages, text, profile.system_mode)
    return dataclasses.replace(chat, body=body, options=options)
