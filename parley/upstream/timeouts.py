"""The time limits of one upstream call, in seconds."""

import dataclasses

MAX_AUDIO_SECONDS = 600.0
"""Least cap of an answer in audio, in seconds: it is received while it is played."""


SETTINGS = {
    "connect": "CONNECT_TIMEOUT",
    "first_content": "TTFT_TIMEOUT",
    "precommit": "PRECOMMIT_TIMEOUT",
    "idle": "IDLE_TIMEOUT",
    "total": "STREAM_TIMEOUT",
}
"""The setting of each limit."""


@dataclasses.dataclass(frozen=True)
class Timeouts:
    """Limits in seconds; a call is bound by all of them at once.

    - `connect`: name, connection and TLS handshake of one connection
    - `first_content`: one attempt, from its start to the first content, which may be a thought
    - `precommit`: all attempts together, up to the first content; no retry begins later
    - `idle`: silence inside an answer, once content has come
    - `total`: an answer from its first byte to its end, which is then cut off in good order
    """

    connect: float
    first_content: float
    precommit: float
    idle: float
    total: float

    def for_audio(self) -> "Timeouts":
        """Return the limits of an answer in audio, whose total is at least `MAX_AUDIO_SECONDS`."""
        return dataclasses.replace(self, total=max(self.total, MAX_AUDIO_SECONDS))

    def reason(self, limit: str) -> str:
        """Return for the operator the setting, and its value, by which a limit of this name ended a call."""
        return f"{SETTINGS[limit]} of {getattr(self, limit):g} s was reached"
