"""The answers: what each endpoint says, as generators of payload batches, and as whole JSON objects.

Here upstream, knowledge and speech meet. An answer gets all it needs as arguments; how it ends on the wire,
and when it is cut short, is the turn's business (`parley/turn.py`).
"""

from parley.answers.audio import audio, audio_json
from parley.answers.text import chat, chat_json, rag, rag_json

__all__ = ["audio", "audio_json", "chat", "chat_json", "rag", "rag_json"]
