"""The text of an answer cleaned for a voice that is not ours: thoughts alone, or all that should not be read out.

    text -> MarkupFilter -> gaps closed -> MarkdownFilter ("speech" only)
            thoughts, tool calls, code     Markdown, HTML, links, emoji

The marks of thoughts are those of our own voice (`wire/thoughts.py`), save for ordinary words at the start of a line:
holding these back would delay answers.
"""

import functools
import re
from collections.abc import Iterator

from parley.speech.markdown import SPECIAL, MarkdownFilter
from parley.speech.markup_filter import MACHINE_BLOCKS, MACHINE_TAGS, Grammar, MarkupFilter
from parley.wire.thoughts import BREAKS, THOUGHT_BLOCKS, THOUGHTS, Marks, tags

STEP_CHARACTERS = 4096
"""Characters of a long text that are looked at in one step: some milliseconds of work."""
GAP = "\ufdd1"
"""Stands for a block that was taken out; a noncharacter, which no text holds."""
_BLOCK_BEGUN = re.compile(r"[<\[◁&]")
_CODE_BEGUN = re.compile(r"[<\[◁&`~]")
_VOICE_BREAKS = ("<flush", "<br", "]")
"""Beginnings of breaks that are a platform's, that are HTML, or that end in plain text."""


@functools.cache
def grammar_of(level: str) -> Grammar:
    """Return the blocks that are taken out at a level."""
    fences = tuple(block for block in MACHINE_BLOCKS if block.openings[0][0] in "`~")
    machine = tuple(block for block in MACHINE_BLOCKS if level == "speech" or block not in fences)
    marks = tuple(each for each in THOUGHTS if not each.leads)
    blocks = tuple(block for block in THOUGHT_BLOCKS if not block.leads)
    return Grammar(
        (*marks, Marks(tags(MACHINE_TAGS), tags(MACHINE_TAGS, "/")), *map(Marks.of, machine)),
        (*blocks, *machine),
        tuple(each for each in BREAKS if not each.startswith(_VOICE_BREAKS)),
        gap=GAP,
        token_gap=GAP,
    )


class Cleaner:
    """Cleans one text, at the level `thoughts` or `speech`; its pieces may be cut anywhere.

    With `whole` the text comes in one piece, and all that stands before a lone closing tag of thoughts goes.
    """

    def __init__(self, level: str, *, whole: bool = False) -> None:
        self._blocks = MarkupFilter(grammar_of(level), retracts=whole)
        self._markdown = MarkdownFilter() if level == "speech" else None
        self._special = SPECIAL if level == "speech" else _BLOCK_BEGUN
        self._is_idle = level != "speech"
        self._block_begun = _CODE_BEGUN if level == "speech" else _BLOCK_BEGUN
        # The end of texts that were passed by.
        self._skipped = ""
        self._last = ""
        self._is_behind_gap = False

    def feed(self, text: str) -> str:
        """Take the next piece; return the text that is certain."""
        if self.skip(text):
            return text
        self._catch_up()
        if not self._block_begun.search(text) and self._blocks.is_idle and not self._is_behind_gap:
            self._blocks.skip(text)
            self._last = text[-1:] or self._last
        else:
            text = self._blocks.feed(text)
            self._forget_retracted()
            text = self._without_gaps(text)
        if self._markdown:
            text = self._markdown.feed(text)
        self._note_idleness()
        return text

    def pieces_of(self, text: str) -> Iterator[str]:
        """Yield what `feed` returns for a long text, in steps of bounded work."""
        for at in range(0, len(text), STEP_CHARACTERS):
            yield self.feed(text[at : at + STEP_CHARACTERS])

    def skip(self, text: str) -> bool:
        """Take a piece if it is passed on as it is: nothing is held back, and nothing in it begins markup.

        perf: saves both filters for nearly every piece.
        """
        if not self._is_idle or self._special.search(text):
            return False
        self._skipped = (self._skipped + text)[-2:]
        return True

    def rest(self) -> str:
        """Return the text that was held back, at the end of the text or of a part of it."""
        self._catch_up()
        text = self._blocks.flush()
        self._forget_retracted()
        text = self._without_gaps(text)
        if self._markdown:
            text = self._markdown.feed(text) + self._markdown.flush()
        self._note_idleness()
        return text

    @property
    def is_retracted(self) -> bool:
        """True if all text before the last call was thought."""
        return self._blocks.retracted

    def _note_idleness(self) -> None:
        """Note whether a text without special characters would be passed on as it is."""
        is_plain = self._markdown is None or self._markdown.is_idle
        self._is_idle = is_plain and not self._is_behind_gap and self._blocks.is_idle

    def _forget_retracted(self) -> None:
        """Begin anew where all text before was thought."""
        if self._blocks.retracted:
            self._markdown = MarkdownFilter() if self._markdown else None
            self._last, self._is_behind_gap = "", True

    def _catch_up(self) -> None:
        """Tell the filters of the text that was passed by."""
        if self._skipped:
            self._blocks.skip(self._skipped)
            if self._markdown:
                self._markdown.skip(self._skipped)
            self._last = self._skipped[-1]
            self._skipped = ""

    def _without_gaps(self, text: str) -> str:
        """Return a text with its gaps closed: white space at the beginning goes, and one of two blanks that meet."""
        if GAP not in text and not self._is_behind_gap:
            self._last = text[-1:] or self._last
            return text
        first, *others = text.split(GAP)
        passed = [self._joined(first)]
        for part in others:
            self._is_behind_gap = True
            passed.append(self._joined(part))
        return "".join(passed)

    def _joined(self, part: str) -> str:
        """Return a part behind a gap without the white space that meets other white space."""
        if self._is_behind_gap and part:
            if not self._last:
                part = part.lstrip()
            elif self._last.isspace() and part[0].isspace():
                part = part[1:]
                self._is_behind_gap = False
            if part:
                self._is_behind_gap = False
        self._last = part[-1:] or self._last
        return part


def cleaned(text: str, level: str) -> str:
    """Return a complete text, cleaned."""
    cleaner = Cleaner(level, whole=True)
    passed: list[str] = []
    for piece in cleaner.pieces_of(text):
        del passed[: len(passed) if cleaner.is_retracted else 0]
        passed.append(piece)
    rest = cleaner.rest()
    return rest if cleaner.is_retracted else "".join(passed) + rest
