"""Phrases for callers who wait, as they leave: with a mark and white space at their end, so that speech starts at once.

A platform that the operator names may want another ending:

    elevenlabs    "One moment... "           its voice goes on in the same breath
    vapi          "One moment. <flush /> "   what is queued is spoken now (`voice.chunkPlan.enabled`)

Sources: https://elevenlabs.io/docs/conversational-ai/customization/llm/custom-llm,
https://docs.vapi.ai/assistants/flush-syntax
"""

import unicodedata
from collections.abc import Iterable

_FLUSH = "<flush />"


def ended(phrase: str) -> str:
    """Return the phrase with a full stop if it ends with a letter or a digit; behind markup or a mark as it is."""
    # Combining marks belong to the letter before them.
    if unicodedata.category(phrase[-1:] or ".")[0] not in "LMN" or phrase.endswith("\ufe0f"):
        return phrase
    return f"{phrase}。" if "\u2e80" <= phrase[-1] <= "\u9fff" else f"{phrase}."


def leaving(phrase: str, platform: str = "") -> str:
    """Return a phrase as it is sent to a platform."""
    if platform == "elevenlabs":
        return f"{phrase.rstrip('.…。 ')}... "
    return f"{ended(phrase)} {_FLUSH} " if platform == "vapi" else f"{ended(phrase)} "


def without_marks(text: str) -> str:
    """Return a text without the marks that no voice speaks, which a platform may keep out of its history."""
    return text.replace(f"{_FLUSH} ", "").replace(_FLUSH, "") if _FLUSH in text else text


def in_history(phrases: Iterable[str], platform: str = "") -> list[str]:
    """Return phrases in the forms in which a platform's history may bear them, longer forms first."""
    phrases = list(phrases)
    ends = [ended(phrase) for phrase in phrases]
    if platform not in ("elevenlabs", "vapi"):
        return ends
    # A platform may keep its marks out of what it tells of a call.
    return [*(leaving(phrase, platform).rstrip() for phrase in phrases), *ends]
