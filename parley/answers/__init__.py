"""The answers: what each endpoint says, as a stream of batches and as one JSON object.

Upstream, knowledge and speech meet here and nowhere else. Each answer is a function of a `TurnContext` and `Services`.
How an answer ends on the wire, and when it is cut short, is the business of the turn (`parley/turn.py`).
"""

from parley.answers import audio as sound
from parley.answers import text
from parley.answers.cleanup import clean_stream, clean_whole
from parley.answers.opening import with_metadata
from parley.answers.remembering import with_memory, with_memory_whole

# From the inside: the answer, its text cleaned for a voice, the conversation that it continues, the first chunk.
chat, rag = (with_metadata(with_memory(clean_stream(answer))) for answer in (text.chat, text.rag))
chat_json, rag_json = (with_memory_whole(clean_whole(answer)) for answer in (text.chat_json, text.rag_json))
audio = with_memory(sound.audio, sound.runs_tools)
audio_json = with_memory_whole(sound.audio_json, sound.runs_tools)

__all__ = ["audio", "audio_json", "chat", "chat_json", "rag", "rag_json"]
