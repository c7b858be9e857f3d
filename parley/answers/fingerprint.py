"""The session of a call in each chunk, for a platform that asks for it: Hume tells calls apart by `system_fingerprint`.

Only where an agent's profile names that platform; without it nothing stands between an answer and the turn.
Source: https://dev.hume.ai/docs/speech-to-speech-evi/guides/custom-language-model
"""

import contextlib

from parley.answers.cleanup import Stream, Whole
from parley.concurrency import SILENCE
from parley.services import Services
from parley.turn import Batches, TurnContext
from parley.wire import chunks, sse
from parley.wire.request import ChatRequest

FIELD = "system_fingerprint"


def fingerprint_of(chat: ChatRequest) -> str:
    """Return the text that each chunk of an answer is to bear; empty for none."""
    return chat.caller.session if chat.options.platform == "hume" else ""


def stream_with_fingerprint(answer: Stream) -> Stream:
    """Return the answer with the session in its chunks, where its agent's platform wants that."""

    def stream(context: TurnContext, services: Services) -> Batches:
        session = fingerprint_of(context.chat)
        # For the chunks that the turn writes itself, such as a fallback text.
        context.envelope.fingerprint = session or None
        batches = answer(context, services)
        return _marked(batches, session) if session else batches

    return stream


def whole_with_fingerprint(answer: Whole) -> Whole:
    """Return the answer in one piece with the session in it, where its agent's platform wants that."""

    def whole(context: TurnContext, services: Services) -> bytes:
        session = fingerprint_of(context.chat)
        body = answer(context, services)
        return chunks.with_field(body, FIELD, session) if session else body

    return whole


def _marked(batches: Batches, session: str) -> Batches:
    with contextlib.closing(batches):
        for batch in batches:
            if batch is not SILENCE:
                # In place, because the last batch of an answer is marked by its type.
                batch[:] = [
                    payload if sse.is_comment(payload) else chunks.with_field(payload, FIELD, session)
                    for payload in batch
                ]
            yield batch
