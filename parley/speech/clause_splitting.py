"""Cutting a streamed text so that a voice can begin early: at the first clause, then at sentences.

Sentences sound better than clauses, but the listener waits for the first words only. A cut comes with the token behind
the one that ends the clause, because only that one tells whether the clause has ended: never inside a number, an
abbreviation or an address. So a text is cut at the same places however its pieces are cut.

    "Certainly," " we ca" "n. See Node." "js. It costs 3." "50. Bye"
     Certainly,|                                                    the first clause may be short
                    we can.|                                        later ones are sentences
                             See Node.js.|                          "." may go on: wait for the next token
                                           It costs 3.50.|

Where the listener has nothing left to hear, `hurry` cuts within the sentence: behind a comma, or where a phrase begins.
A first clause without any mark is cut there as well, whether or not anybody waits.
"""

import re
from collections.abc import Iterator

from parley.speech.english.abbreviations import AMBIGUOUS, NEVER_LAST, PHRASE_STARTS

MIN_FIRST_CHARS = 8
"""Characters before a comma may end the first clause."""
MIN_LATER_CHARS = 80
"""Characters before a comma may end a later clause, when sound is on its way already."""
MAX_CHARS = 240
"""Limit on a clause, in characters: a voice that gets more at once begins later, and the embedded one stumbles."""
MAX_FIRST_CHARS = 64
"""Limit on a first clause, in characters: until it is complete, nothing is heard."""
MIN_PHRASE_CHARS = 12
"""Characters before a phrase that may be cut off: fewer sound chopped."""
LOOKAHEAD = 8
"""Limit on the characters behind a mark that are waited for to learn whether it ends a clause."""
ZONE_LOOKAHEAD = 6
"""Characters behind "p.m." that tell whether a time zone follows."""
SENTENCE_MARKS = ".!?…。！？؟।"
CLAUSE_MARKS = ",;:，、；：—–"
IDEOGRAPHIC = "。！？，、；："
"""Marks that no blank follows."""
EMOJI = "\u2600-\u27bf\U0001f300-\U0001faff"
"""Pictures, which stand for a mark as often as beside one."""
CLOSING = "\"'”’)]}»*_」』）】"
_MARK = re.compile(rf"[{SENTENCE_MARKS}{CLAUSE_MARKS}{EMOJI}]+\ufe0f?[{re.escape(CLOSING)}]*|\n+")
_PHRASE = re.compile(rf"(?<=[a-z]) +(?=(?:{'|'.join(sorted(PHRASE_STARTS))})\s)")
_BETWEEN_WORDS = re.compile(r"(?<=[^\W\d_]{2}) +(?=[^\W\d_]*\s)")
_WORD_JOINTS = str.maketrans("", "", "'’-")
_JOINTS = re.compile(r"[-–/]")
_ZONE = re.compile(r"[A-Z]{1,3}T\b|UTC\b")
"""A time zone behind "5 p.m."."""
_INITIALS = re.compile(r"(?:[A-Z]\.)+[A-Z]|[a-z](?:\.[a-z])+")
"""Abbreviations of several letters: "U.S", "e.g"."""
_KEY = re.compile(r"\s+(?:\Z|[#*](?:\Z|(\s)))")
"""A key of a telephone behind a comma, or what may become one."""
_CODE = re.compile(r"[A-Z]{1,3}(?:(-?\d)|-?\Z)")
"""A code behind "no.", or what may become one."""
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘*_]*\Z")


class ClauseSplitter:
    """Splits a text that comes in pieces; `feed` and at the end `flush` give the whole text in order.

    `goes_on` is true if the clause that was yielded last ends within a phrase, without any mark.
    """

    def __init__(self) -> None:
        self.goes_on = False
        self._held = ""
        self._min_chars = MIN_FIRST_CHARS

    def feed(self, piece: str) -> Iterator[str]:
        """Yield the clauses that this piece completes."""
        # Blanks that begin a clause count for nothing: they may have come with the one before, or not.
        self._held = (self._held + piece).lstrip()
        while end := self._clause_end():
            yield from self._cut(end)

    def hurry(self) -> Iterator[str]:
        """Yield a short clause, if there is any: the listener has nothing left to hear."""
        commas = [mark.end() for mark in _MARK.finditer(self._held) if self._held[mark.end() :][:1].isspace()]
        sure = [end for end in commas if end >= MIN_FIRST_CHARS and self._held[end - 1] in CLAUSE_MARKS]
        if end := max(sure, default=0) or self._phrase_end(len(self._held)):
            yield from self._cut(end)

    def settle(self) -> Iterator[str]:
        """Yield what is held if it ends like a clause: no more of the text has come for a while."""
        *_, last = [None, *_MARK.finditer(self._held)]
        if last is None or last.end() < len(self._held.rstrip()):
            return
        word = _LAST_WORD.search(self._held, 0, last.start())
        before, sign = word[0] if word else "", last[0][0]
        # The text may still go on: as a number ("3." "50"), as an address ("http:" "//") or as an abbreviation.
        is_word = before.translate(_WORD_JOINTS).isalpha() and before.lower() not in ("http", "https")
        is_short = sign == "." and (len(before) < 3 or before.lower() in NEVER_LAST or before in AMBIGUOUS)
        if is_word and not is_short and (sign in SENTENCE_MARKS or last.end() >= self._min_chars):
            yield from self._cut(len(self._held))

    def flush(self) -> Iterator[str]:
        """Yield the remainder at the end of the text, if any."""
        self.goes_on = False
        clause, self._held = self._held.strip(), ""
        if clause:
            yield clause

    def retract(self) -> None:
        """Forget what has not been yielded yet."""
        self._held = ""

    def _cut(self, end: int) -> Iterator[str]:
        cut, self._held = self._held[:end], self._held[end:]
        clause = cut.strip()
        # Marks alone ("...", "*") can't be said; they must not use up the early first clause.
        if any(letter.isalnum() for letter in clause):
            self._min_chars = MIN_LATER_CHARS
            self.goes_on = clause[-1].isalnum() and not self._held.startswith("\n") and "\n" not in cut
            yield clause
        self._held = self._held.lstrip()

    def _clause_end(self) -> int:
        """Return the length of the first complete clause, 0 if none is complete."""
        is_first = self._min_chars == MIN_FIRST_CHARS
        for mark in _MARK.finditer(self._held):
            if mark.end() > MAX_CHARS:
                break
            if is_first and mark.end() > MAX_FIRST_CHARS + LOOKAHEAD:
                break
            if (ends := self._ends_clause(mark)) is not False:
                return mark.end() if ends else 0
        if is_first and len(self._held) > MAX_FIRST_CHARS + LOOKAHEAD and (end := self._phrase_end(MAX_FIRST_CHARS)):
            return end
        if len(self._held) <= MAX_CHARS + LOOKAHEAD:
            return 0
        # No mark in reach: between two words, or through a word that has no end.
        return self._phrase_end(MAX_CHARS) or max(self._held.rfind(" ", 1, MAX_CHARS), 0) or MAX_CHARS

    def _phrase_end(self, limit: int) -> int:
        """Return where the last phrase before the limit begins, or else the last word of a long text; 0 if nowhere."""
        for boundary, least in ((_PHRASE, MIN_PHRASE_CHARS), (_BETWEEN_WORDS, 3 * MIN_PHRASE_CHARS)):
            ends = [found.start() for found in boundary.finditer(self._held, 0, limit)]
            # Not within a link, whose text belongs together.
            fitting = [
                end for end in ends if end >= least and self._held.count("[", 0, end) == self._held.count("]", 0, end)
            ]
            if fitting:
                return fitting[-1]
        return 0

    def _ends_clause(self, mark: re.Match[str]) -> bool | None:
        """Return True if a clause ends with this mark, None if only the text behind it can tell."""
        text, sign = self._held, mark[0][0]
        if sign == "\n":
            return bool(text[: mark.start()].strip())
        if sign == "★" and text[: mark.start()][-1:].isdigit():
            # "a 5★ hotel"
            return False
        if sign not in SENTENCE_MARKS and mark.end() < self._min_chars:
            return False
        behind = text[mark.end() : mark.end() + LOOKAHEAD]
        if not behind:
            return None
        if sign == "," and (key := _KEY.match(behind)):
            # "Press 1 to go on, # to end": at the beginning of a clause it would mark a heading.
            return False if key[1] else None
        if sign in IDEOGRAPHIC or sign != ".":
            return sign in IDEOGRAPHIC or behind[0].isspace()
        if not behind[0].isspace():
            return False
        word = _LAST_WORD.search(text, 0, mark.start())
        before = word[0] if word else ""
        # "1." begins an item of a list, and stays with it.
        is_item = text[: mark.start()].strip() == before and before.isdigit()
        return not is_item and _ends_sentence(before, behind)


def _ends_sentence(before: str, behind: str) -> bool | None:
    """Return False if a full stop belongs to the word `before`: a title, an initial or the "No." of a number.

    `behind` begins with a blank. None if only the next word can tell, and has not come yet.
    """
    before = _JOINTS.split(before)[-1]
    is_initial = len(before) == 1 and before.isalpha() and before not in ("I", *AMBIGUOUS)
    is_short_form = bool(_INITIALS.fullmatch(before)) and before.lower() not in ("a.m", "p.m")
    if is_initial or is_short_form or before.lower() in NEVER_LAST:
        return False
    # "1. tea 2. coffee", "Hauptstr. 12"
    is_open = "." in before or before in AMBIGUOUS or before.isdigit() or before.endswith("str")
    following = behind.lstrip()
    if not is_open or "\n" in behind.removesuffix(following):
        return True
    if not following:
        return True if len(behind) == LOOKAHEAD else None
    if following[0].isupper() and before.lower() in ("a.m", "p.m"):
        return not _ZONE.match(following) if len(behind) >= ZONE_LOOKAHEAD else None
    if before in AMBIGUOUS and (code := _CODE.match(following)):
        # "Batch no. L24": one letter alone may still become a code.
        return False if code[1] else None
    if before.isdigit():
        return not following[0].islower()
    return not (following[0].islower() or following[0].isdigit() or following[0] in "-–—−&+/$€£")
