"""The state of a running server as one value: the model, the streams, the sound, the knowledge, and hints."""

import json
from pathlib import Path
from typing import Any

from parley.inspection.hints import hints_of
from parley.knowledge.sources import Outline
from parley.services import Services
from parley.telemetry import metrics, recent_turns

VERSION: str = json.loads((Path(__file__).parents[2] / "blueprints" / "openapi.json").read_bytes())["info"]["version"]
"""Version of the interface, which its description tells."""


def status_of(services: Services, scheme: str = "", browser_scheme: str = "") -> dict[str, Any]:
    """Return the state of the server; the schemes are those of `hints_of`."""
    # Nothing is kept outside of gunicorn, nor where nobody is served the page.
    settings, kept = services.settings, recent_turns.kept
    workers = kept.workers if kept else 1
    unavailable = services.unavailable_reason()
    reason = "the server is shutting down" if services.draining else unavailable.message if unavailable else ""
    reason = "the knowledge is being read" if services.knowledge.loading else reason
    return {
        "version": VERSION,
        "model": services.default_model,
        "embedded": services.has_model and services.quotes,
        "quotes": services.quotes,
        "ready": not reason,
        "reason": reason,
        "upstreams": services.upstream.breaker_states(),
        # Each worker has as many slots of its own.
        "streams": {"open": metrics.open_streams(), "most": services.admission.limit * workers},
        "workers": workers,
        "worker": kept.worker if kept else 1,
        "audio": {
            "mode": settings.audio_mode,
            "sample_rate": settings.audio_sample_rate,
            "chunk_ms": settings.audio_chunk_ms,
            "lead_ms": settings.audio_lead_ms,
            # Its name alone: the description of an API's voice tells the address.
            "voice": services.synthesis.name if services.has_voice else None,
        },
        "waiting": settings.waiting,
        "waiting_messages": services.waiting_messages(""),
        "fallback_text": settings.fallback_text,
        "kb": {
            "state": services.knowledge.bases.state,
            "bases": [base_status(services, name, base) for name, base in services.knowledge.bases.listed.items()],
        },
        "recordings": services.recordings.names,
        "auth": "off" if services.keyring.is_open else "on",
        "capture": services.captures.most if services.captures else 0,
        "hints": [hint._asdict() for hint in hints_of(services, scheme, browser_scheme)],
    }


def base_status(services: Services, name: str, base: Outline) -> dict[str, Any]:
    """Return the state of one knowledge base."""
    return {
        "name": name,
        "passages": base.passages,
        "state": base.state,
        "faults": len(base.problems),
        "language": base.settings.spoken_language.code,
        "waiting_messages": services.waiting_messages(name),
    }
