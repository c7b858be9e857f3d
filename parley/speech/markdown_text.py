"""A text that comes in pieces and is passed on in part: what both halves of `markdown.py` stand on."""

import re

CLOSING = "\"'”’»)]}」』）"
"""Quotes and brackets that may close behind a mark."""
MARKS = ".!?…:;,。！？：；，、؟،؛\u06d4।"
"""Marks after which a line needs no full stop."""


class MarkdownText:
    """The text that has come and not been taken yet, and what has been passed on.

    `_before` is the last character that came, `_last` the last that was passed on.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._at_end = False
        # Passed on by the present call.
        self._out: list[str] = []
        self._before = self._last = ""
        self._at_line_start = True
        self._is_marked = self._is_row = self._takes_stop = self._has_output = False
        # A row's state: at the beginning of a cell; a cell has ended behind which others may come.
        self._at_cell = self._behind_cell = False
        # Blanks of a marked line that go if the line ends here.
        self._gap = ""
        self._is_ended = False
        self._rule: re.Pattern[str] | None = None
        self._in_long_url = False
        self._open = {"*": 0, "_": 0}
        self._code = self._code_left = 0
        self._behind_emoji = self._joined = self._skips_blank = False

    def put(self, text: str) -> None:
        """Pass a text on; blanks at the end of a marked line are kept until more of the line comes."""
        self._behind_emoji = self._joined = False
        self._before = text[-1]
        if self._skips_blank:
            self._skips_blank = False
            text = text[1:] if text[0] in " \t" else text
            if not text:
                return
        if self._takes_stop:
            visible = text.rstrip(" \t\r")
            if not visible:
                self._gap += text
                return
            gap = self._gap
            if self._behind_cell:
                gap = " " if self._last in ".!?…。！？" else ", "
                visible = visible.lstrip(" \t\r")
                self._behind_cell = False
            elif not self._has_output:
                gap, visible = "", visible.lstrip(" \t\r")
            # Quotes and brackets behind a mark belong to it.
            bare = visible.rstrip(CLOSING)
            self._is_ended = bare[-1] in MARKS if bare else self._is_ended
            self._gap = text[len(text.rstrip(" \t\r")) :]
            text = gap + visible
        elif not self._has_output and text.isspace():
            self._out.append(text)
            self._last = text[-1]
            return
        self._out.append(text)
        self._last = text[-1]
        self._has_output = True

    def drop(self, size: int, *, blanks: bool = False) -> bool:
        """Pass so many characters over; with `blanks` one of two blanks that meet there goes, too."""
        self._before = self._text[self._at + size - 1]
        self._at += size
        if blanks and (self._gap or not self._has_output or self._last.isspace()):
            self._skips_blank = True
        return True

    def keep(self, size: int) -> bool:
        """Pass so many characters on as they are."""
        text = self._text[self._at : self._at + size]
        self._at += size
        self.put(text)
        return True

    def is_open_ended(self, end: int, start: int, limit: int) -> bool:
        """Return True if what begins at `start` may go on behind the end of the text that has come."""
        return not self._at_end and end >= len(self._text) and len(self._text) - start < limit
