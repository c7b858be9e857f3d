"""The answers: what each endpoint says, as a stream of batches and as one JSON object.

Upstream, knowledge and speech meet here and nowhere else. Each answer is a function of a `TurnContext` and `Services`.
How an answer ends on the wire, and when it is cut short, is the business of the turn (`parley/turn.py`).
"""

from parley.answers import audio as sound
from parley.answers import text
from parley.answers.cleanup import Stream, Whole, clean_stream, clean_whole
from parley.answers.fingerprint import stream_with_fingerprint, whole_with_fingerprint
from parley.answers.opening import with_metadata
from parley.answers.remembering import with_memory, with_memory_whole


def _written(answer: Stream) -> Stream:
    """Return the answer with its text cleaned for a voice, as a part of its session, with a first chunk's metadata."""
    return with_metadata(stream_with_fingerprint(with_memory(clean_stream(answer))))


def _written_whole(answer: Whole) -> Whole:
    """Return the answer in one piece with its text cleaned for a voice, as a part of its session."""
    return whole_with_fingerprint(with_memory_whole(clean_whole(answer)))


chat, rag = _written(text.chat), _written(text.rag)
audio = stream_with_fingerprint(with_memory(sound.audio, sound.runs_tools))
chat_json, rag_json = _written_whole(text.chat_json), _written_whole(text.rag_json)
audio_json = whole_with_fingerprint(with_memory_whole(sound.audio_json, sound.runs_tools))

__all__ = ["audio", "audio_json", "chat", "chat_json", "rag", "rag_json"]
