"""Sentences on what an operator should know of a running server, each with what to do, for the playground's head.

They are known without asking anybody. `flask doctor` does not read them: its checks find out by trying, and tell more.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from parley.services import Services

NEW_KEY = "API_KEYS=$(openssl rand -hex 24)"
MOST_BASES = 10
"""Most degraded bases that are named."""


class Hint(NamedTuple):
    """A sentence, and what to do about it: a setting, a command, or empty."""

    text: str
    fix: str


def hints_of(services: Services, scheme: str = "", browser_scheme: str = "") -> list[Hint]:
    """Return the hints on a server. `scheme` is that of a request as it arrived, and as its browser has sent it."""
    found = [*_on_callers(services), *_on_the_model(services), *_on_sound(services), *_on_knowledge(services)]
    if browser_scheme == "https" and scheme == "http":
        found.append(Hint("The server sees http where the browser sees https", "TRUSTED_PROXIES=1"))
    return found


def _on_callers(services: Services) -> Iterator[Hint]:
    if services.keyring.is_open:
        yield Hint("No key is asked for: whoever reaches the port may ask", NEW_KEY)
    if services.captures is not None:
        most = services.captures.most
        yield Hint(f"Each worker keeps the last {most} requests and answers, callers' words included", "CAPTURE=0")
    if services.start_fault:
        yield Hint(services.start_fault, "gunicorn -k gevent app:app")
    limit, wanted = services.admission.limit, services.settings.max_streams
    if limit < wanted:
        fix = "raise `ulimit -n`"
        yield Hint(f"MAX_STREAMS is lowered from {wanted} to {limit} by the limit of open files", fix)


def _on_the_model(services: Services) -> Iterator[Hint]:
    fix = "LLM_API_KEY=... (and LLM_BASE_URL for any API other than OpenAI's)"
    if not services.has_model:
        yield Hint("No model is configured: /rag is quoted from the knowledge, all else answers with status 503", fix)
    elif services.quotes:
        yield Hint("The embedded demonstration model answers: it is small, and often wrong; /rag is quoted", fix)
    for name, state in services.upstream.breaker_states().items():
        if state == "open":
            yield Hint(f"The upstream {name} fails, and is not asked for now", "flask doctor")
    for name in services.upstream.connection_faults():
        yield Hint(f"No connection to the upstream {name} can be opened ahead", "flask doctor")


def _on_sound(services: Services) -> Iterator[Hint]:
    if services.has_voice and services.synthesis.name == "simulated":
        yield Hint("No voice is installed: soft tones take its place", "TTS_API_KEY=... or TTS_BASE_URL=...")
    recordings = services.recordings
    if not services.has_voice and not recordings.names:
        yield Hint("There is no recording: /audio plays tones", "flask audio check")
    elif not services.has_voice and services.settings.audio_mode == "assets":
        yield Hint("/audio plays a recording, whatever is asked", "AUDIO_MODE=speech")
    if recordings.estimated:
        named = ", ".join(recordings.estimated[:3])
        yield Hint(
            f"The words of recordings are timed by estimate: {named}", f"flask audio align {named.split(',')[0]}"
        )


def _on_knowledge(services: Services) -> Iterator[Hint]:
    state, has_database = services.knowledge.bases.state, services.database_state != "off"
    if state == "empty":
        fix = "put JSON files into KB_DIR; `flask kb import` makes them"
        yield Hint("The knowledge is empty", "flask kb publish" if has_database else fix)
    if services.database_state == "down":
        yield Hint("The database of the knowledge does not answer: what was loaded serves on", "flask db check")
    # A database that is away at the start makes thousands of bases incomplete.
    incomplete = ((name, base) for name, base in services.knowledge.bases.listed.items() if not base.is_complete)
    for name, base in itertools.islice(incomplete, MOST_BASES):
        first = next((problem for problem in base.problems if problem.lost != "nothing"), None)
        fault = f"{first.name}{first.where}: {first.message}" if first else base.fault
        yield Hint(
            f"The knowledge{f' {name!r}' if name else ''} is degraded{fault and f': {fault}'}",
            "flask db check" if has_database else "flask kb check",
        )
