"""Where a streamed text may be cut so that a voice can begin: at the first clause, then at sentences.

Sentences sound better than clauses, but only the first words are waited for. A cut must not wait for the
next token where the mark is sure to be an ending, and must not come inside a number, an abbreviation or an address.
"""

import re
from collections.abc import Iterator

LEAST_FIRST = 8
LEAST_LATER = 80
"""Characters before a comma may end a clause: in the first one, and later, when sound is on its way already."""
LONGEST = 240
"""Characters; a voice that gets more at once begins later, and the embedded one stumbles."""
SENTENCE_MARKS = ".!?…。！？؟।"
CLAUSE_MARKS = ",;:，、；：—–"
IDEOGRAPHIC = "。！？，、；："
"""Marks that no blank follows."""
CLOSING = "\"'”’)]}»*_"
ABBREVIATIONS = frozenset(
    """
    mr mrs ms dr prof st sr jr vs e.g i.e approx nos dept ltd corp vol ave apt tel
    jan feb apr jun jul aug sep sept oct nov dec mon tue thu
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
_MARK = re.compile(rf"[{SENTENCE_MARKS}{CLAUSE_MARKS}]+[{re.escape(CLOSING)}]*|\n+")
_WORD_JOINTS = str.maketrans("", "", "'’-")
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘*_]*\Z")


class ClauseSplitter:
    """Cuts a text that comes in pieces; what `feed` and at the end `rest` give is the whole text, in order."""

    def __init__(self) -> None:
        self._held = ""
        self._least = LEAST_FIRST

    def feed(self, piece: str) -> Iterator[str]:
        """The clauses that this piece completes."""
        self._held += piece
        while cut := self._cut():
            clause, self._held = self._held[:cut].strip(), self._held[cut:]
            if any(letter.isalnum() for letter in clause):
                self._least = LEAST_LATER
                yield clause

    def rest(self) -> Iterator[str]:
        """What is left at the end of the text."""
        clause, self._held = self._held.strip(), ""
        if clause:
            yield clause

    def _cut(self) -> int:
        """How many characters make a clause; 0 where none is complete."""
        for mark in _MARK.finditer(self._held):
            if mark.end() > LONGEST:
                break
            if self._ends(mark):
                return mark.end()
        if len(self._held) <= LONGEST:
            return 0
        return max(self._held.rfind(" ", 1, LONGEST), 0) or LONGEST

    def _ends(self, mark: re.Match[str]) -> bool:
        """Whether a clause ends with this mark."""
        text, sign = self._held, mark[0][0]
        if sign == "\n":
            return bool(text[: mark.start()].strip())
        if sign in CLAUSE_MARKS and mark.end() < self._least:
            return False
        if sign in IDEOGRAPHIC:
            return True
        word = _LAST_WORD.search(text, 0, mark.start())
        before = word[0] if word else ""
        behind = text[mark.end() : mark.end() + 2]
        if behind:
            is_item = text[: mark.start()].strip() == before and before.isdigit()
            return behind[0].isspace() and not (sign == "." and (is_item or _is_abbreviated(before, behind[1:])))
        return _is_surely_ending(before, mark[0])


def _is_abbreviated(before: str, behind: str) -> bool:
    """Whether the full stop belongs to the word: of a title, an initial, a number's sign."""
    if before.lower() in ABBREVIATIONS or behind.islower():
        return True
    if before == "No":
        return not behind or behind.isdigit()
    if "." in before:
        return not behind
    return len(before) == 1 and before.isalpha() and before != "I"


def _is_surely_ending(before: str, marks: str) -> bool:
    """Whether the mark ends something whatever comes next: not where a number or an address may go on."""
    is_word = before.translate(_WORD_JOINTS).isalpha()
    if not is_word or before.lower() in ("http", "https"):
        return False
    return marks[0] != "." or (len(before) > 2 and before.lower() not in ABBREVIATIONS)
