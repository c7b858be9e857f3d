"""Cutting a streamed text so that a voice can begin early: at the first clause, then at sentences.

Sentences sound better than clauses, but the listener waits for the first words only. A cut comes with the token that
ends the clause where nothing can follow the mark, else with the next token; never inside a number, an abbreviation or
an address.

    "Certainly, we ca" "n. It costs 3." "50. Bye"
     Certainly,|                                      the first clause may be short
                we can.|                              later ones are sentences
                         It costs 3.50.|              a digit may follow "3.": wait for the next token
"""

import re
from collections.abc import Iterator

MIN_FIRST_CHARS = 8
"""Characters before a comma may end the first clause."""
MIN_LATER_CHARS = 80
"""Characters before a comma may end a later clause, when sound is on its way already."""
MAX_CHARS = 240
"""Limit on a clause, in characters: a voice that gets more at once begins later, and the embedded one stumbles."""
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
    """Splits a text that comes in pieces; `feed` and at the end `flush` give the whole text in order."""

    def __init__(self) -> None:
        self._held = ""
        self._min_chars = MIN_FIRST_CHARS

    def feed(self, piece: str) -> Iterator[str]:
        """Yield the clauses that this piece completes."""
        self._held += piece
        while end := self._clause_end():
            clause, self._held = self._held[:end].strip(), self._held[end:]
            # Marks alone ("...", "*") can't be said; they must not use up the early first clause.
            if any(letter.isalnum() for letter in clause):
                self._min_chars = MIN_LATER_CHARS
                yield clause

    def flush(self) -> Iterator[str]:
        """Yield the remainder at the end of the text, if any."""
        clause, self._held = self._held.strip(), ""
        if clause:
            yield clause

    def _clause_end(self) -> int:
        """Return the length of the first complete clause, 0 if none is complete."""
        for mark in _MARK.finditer(self._held):
            if mark.end() > MAX_CHARS:
                break
            if self._ends_clause(mark):
                return mark.end()
        if len(self._held) <= MAX_CHARS:
            return 0
        # No mark in reach: between two words, or through a word that has no end.
        return max(self._held.rfind(" ", 1, MAX_CHARS), 0) or MAX_CHARS

    def _ends_clause(self, mark: re.Match[str]) -> bool:
        """Return True if a clause is sure to end with this mark, whatever comes next."""
        text, sign = self._held, mark[0][0]
        if sign == "\n":
            return bool(text[: mark.start()].strip())
        if sign in CLAUSE_MARKS and mark.end() < self._min_chars:
            return False
        if sign in IDEOGRAPHIC:
            return True
        word = _LAST_WORD.search(text, 0, mark.start())
        before = word[0] if word else ""
        behind = text[mark.end() : mark.end() + 2]
        if behind:
            # "1." begins an item of a list, and stays with it.
            is_item = text[: mark.start()].strip() == before and before.isdigit()
            return behind[0].isspace() and not (sign == "." and (is_item or _is_abbreviated(before, behind[1:])))
        # The text may go on at once: as a number ("3." "50"), as an address ("http:" "//") or as an abbreviation.
        is_word = before.translate(_WORD_JOINTS).isalpha() and before.lower() not in ("http", "https")
        return is_word and (sign != "." or (len(before) > 2 and before.lower() not in ABBREVIATIONS))


def _is_abbreviated(before: str, behind: str) -> bool:
    """Return True if a full stop belongs to the word `before`: a title, an initial or the "No." of a number.

    `behind` is the first character of the next word, empty where it has not come yet.
    """
    if before.lower() in ABBREVIATIONS or behind.islower():
        return True
    if before == "No":
        return not behind or behind.isdigit()
    if "." in before:
        return not behind
    return len(before) == 1 and before.isalpha() and before != "I"
