"""The words of an utterance in time: subtitles show them, and a platform cuts an interrupted answer by them.

Pure values. The sidecar of a recording, NAME.words.json, holds them as they go on the wire:
`[{"text": "Hello", "start_ts": 0, "end_ts": 420}, {"text": "!", "start_ts": 420, "end_ts": 440}]`.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

MARK_MS = 20
"""Limit on the length of a punctuation mark in time, in milliseconds: it takes no time to say."""
MAX_MS = 1e9
"""Limit on a time in a sidecar, in milliseconds: twelve days, beyond which a number is a mistake."""
# Chinese and Japanese characters stand alone; in every other script a word goes on over inner apostrophes, hyphens
# and decimal points.
_TOKEN = re.compile(
    r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]"
    r"|[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+(?:['’.,\-][^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+)*"
    r"|[^\w\s]+|_+"
)


class Word(NamedTuple):
    """A word or a punctuation mark, and when it is heard: milliseconds from the start of the PCM."""

    text: str
    start_ms: int
    end_ms: int


class WordsError(ValueError):
    """A sidecar whose words can't be those of the recording; the message says why."""


def tokens(text: str) -> list[str]:
    """Return the words and the punctuation marks of a text, in order: `["It", "isn't", "3.50", "!"]`."""
    return _TOKEN.findall(text)


def is_mark(token: str) -> bool:
    """Return True if a token is a punctuation mark, without a letter or a digit."""
    return not any(character.isalnum() for character in token)


def with_marks(spoken: Sequence[Word], token_list: Sequence[str], total_ms: int) -> tuple[Word, ...]:
    """Return all tokens in time, the punctuation marks between the words: in order, no overlap, within `total_ms`.

    `spoken` are those of `token_list` that are words, in time.
    """
    words: list[Word] = []
    waiting = iter(spoken)
    following = next(waiting, None)
    end_ms = 0
    for token in token_list:
        if is_mark(token) or following is None:
            limit = following.start_ms if following else total_ms
            words.append(Word(token, end_ms, max(end_ms, min(end_ms + MARK_MS, limit, total_ms))))
        else:
            start_ms = min(max(following.start_ms, end_ms), total_ms)
            words.append(Word(token, start_ms, min(max(following.end_ms, start_ms), total_ms)))
            following = next(waiting, None)
        end_ms = words[-1].end_ms
    return tuple(words)


def to_json(words: Iterable[Word]) -> str:
    """Return the content of a NAME.words.json, one word a line."""
    lines = [
        json.dumps({"text": text, "start_ts": start, "end_ts": end}, ensure_ascii=False) for text, start, end in words
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def from_json(content: str | bytes, transcript: str, total_ms: int) -> tuple[Word, ...]:
    """Return the words in a NAME.words.json.

    Raises WordsError unless they are those of the transcript, in order, and end within `total_ms`.
    """
    try:
        listed = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise WordsError(f"not JSON: {exc}") from exc
    if not isinstance(listed, list):
        raise WordsError("not a list of words")
    words = tuple(_word(item, f"word {number}") for number, item in enumerate(listed, 1))
    end_ms = 0
    for number, word in enumerate(words, 1):
        if not end_ms <= word.start_ms <= word.end_ms:
            raise WordsError(
                f"word {number} ({word.text!r}) begins before the one in front of it ends, or ends too soon"
            )
        end_ms = word.end_ms
    if end_ms > total_ms:
        raise WordsError(f"the last word ends at {end_ms} ms, after the sound ({total_ms} ms)")
    # Punctuation and case may differ: tools for alignment drop both.
    if _letters("".join(word.text for word in words)) != _letters(transcript):
        raise WordsError("they are not the words of the transcript")
    return words


def _word(item: Any, where: str) -> Word:
    """Return a word from an item of a sidecar's list. `where` names the item in an error. Raises WordsError."""
    text, start, end = (
        (item.get(name) for name in ("text", "start_ts", "end_ts")) if isinstance(item, dict) else [None] * 3
    )
    # In Python true is the number 1, in JSON it is not.
    numbers = [
        ms for ms in (start, end) if isinstance(ms, int | float) and not isinstance(ms, bool) and 0 <= ms < MAX_MS
    ]
    if not isinstance(text, str) or not text or len(numbers) != 2:
        raise WordsError(f'{where} is not of the form {{"text": "Hello", "start_ts": 0, "end_ts": 420}}')
    return Word(text, round(numbers[0]), round(numbers[1]))


def _letters(text: str) -> str:
    """Return the letters and digits of a text, without case, in one form of their accents."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in text if character.isalnum())
