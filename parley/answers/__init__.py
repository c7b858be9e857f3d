"""The answers: what each endpoint says, as a stream of batches and as one JSON object.

Upstream, knowledge and speech meet here and nowhere else. Each answer is a function of a `TurnContext` and `Services`.
How an answer ends on the wire, and when it is cut short, is the business of the turn (`parley/turn.py`).
"""

from parley.answers import text
from parley.answers.audio import audio, audio_json
from parley.answers.cleanup import clean_stream, clean_whole
from parley.answers.opening import with_metadata

chat, rag = with_metadata(clean_stream(text.chat)), with_metadata(clean_stream(text.rag))
chat_json, rag_json = clean_whole(text.chat_json), clean_whole(text.rag_json)

__all__ = ["audio", "audio_json", "chat", "chat_json", "rag", "rag_json"]
