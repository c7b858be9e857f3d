"""The words of an utterance in time: what subtitles show, and where a platform may cut. Pure values.

A file NAME.words.json beside a recording holds them as they go on the wire:
`[{"text": "Hello", "start_ts": 0, "end_ts": 420}, {"text": "!", "start_ts": 420, "end_ts": 440}]`.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

MARK_MS = 20
"""How long a punctuation mark lasts, at most."""
# Chinese and Japanese characters stand alone; in every other script a word goes on over inner apostrophes, hyphens
# and decimal points.
_TOKEN = re.compile(
    r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]"
    r"|[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+(?:['’.,\-][^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+)*"
    r"|[^\w\s]+|_+"
)


class Word(NamedTuple):
    """A word, or punctuation, and when it is heard: milliseconds from the start of the PCM."""

    text: str
    start_ms: int
    end_ms: int


class WordsError(ValueError):
    """These words can't be those of the recording; the text says why."""


def tokens(text: str) -> list[str]:
    """The words and the punctuation of a text, in order: `["It", "isn't", "3.50", "!"]`."""
    return _TOKEN.findall(text)


def is_mark(token: str) -> bool:
    """Whether a token is punctuation, which takes no time to say."""
    return not any(character.isalnum() for character in token)


def with_marks(spoken: Sequence[Word], token_list: Sequence[str], total_ms: int) -> tuple[Word, ...]:
    """The spoken words with the punctuation put between them: in order, without overlap, within `total_ms`.

    `spoken` are the tokens that are no punctuation, in time.
    """
    words: list[Word] = []
    ahead = iter(spoken)
    following = next(ahead, None)
    at = 0
    for token in token_list:
        if is_mark(token) or following is None:
            limit = following.start_ms if following else total_ms
            words.append(Word(token, at, max(at, min(at + MARK_MS, limit, total_ms))))
        else:
            start = min(max(following.start_ms, at), total_ms)
            words.append(Word(token, start, min(max(following.end_ms, start), total_ms)))
            following = next(ahead, None)
        at = words[-1].end_ms
    return tuple(words)


def to_json(words: Iterable[Word]) -> str:
    """The content of a NAME.words.json, one word a line."""
    lines = [
        json.dumps({"text": text, "start_ts": start, "end_ts": end}, ensure_ascii=False) for text, start, end in words
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def from_json(content: str | bytes, transcript: str, total_ms: int) -> tuple[Word, ...]:
    """The words in a NAME.words.json. Raises WordsError unless they are the transcript's, in order, and in time."""
    try:
        listed = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise WordsError(f"not JSON: {exc}") from exc
    if not isinstance(listed, list):
        raise WordsError("not a list of words")
    words = tuple(_word(item, f"word {number}") for number, item in enumerate(listed, 1))
    at = 0
    for number, word in enumerate(words, 1):
        if not at <= word.start_ms <= word.end_ms:
            raise WordsError(
                f"word {number} ({word.text!r}) begins before the one in front of it ends, or ends too soon"
            )
        at = word.end_ms
    if at > total_ms:
        raise WordsError(f"the last word ends at {at} ms, after the sound ({total_ms} ms)")
    if _letters("".join(word.text for word in words)) != _letters(transcript):
        raise WordsError("they are not the words of the transcript")
    return words


def _word(item: Any, where: str) -> Word:
    text, start, end = (
        (item.get(name) for name in ("text", "start_ts", "end_ts")) if isinstance(item, dict) else [None] * 3
    )
    numbers = [at for at in (start, end) if isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at < 1e9]
    if not isinstance(text, str) or not text or len(numbers) != 2:
        raise WordsError(f'{where} is not of the form {{"text": "Hello", "start_ts": 0, "end_ts": 420}}')
    return Word(text, round(numbers[0]), round(numbers[1]))


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
