"""Markdown, HTML, links and emoji taken out of a streamed text, for a voice that reads what it is given.

    line start --mark of an item, heading or row--> marked line --line break--> line start
        |                                             (its end gets a full stop)
        +--rule of dashes--> rule --line break--> line start
        +--anything else--> line --backticks--> code --the same backticks, or the line's end--> line

Each decision is made by the text before and by a bounded stretch of the text behind; where that has not come yet, text
is held back. So it does not matter how a text is cut into pieces. The table of what becomes of what: docs/speech.md.
What may stand anywhere in a line is in `markdown_inline.py`.
"""

import re
from typing import Any

from parley.speech.markdown_inline import EMOJI, SIGNS, InlineMarkup

JOINERS = "\u200d\ufe0f\u20e3\U000e0020-\U000e007f"
"""Parts of emoji that are no characters of their own."""
SPECIAL = re.compile(
    rf"[*_~`\[<&!\\\n|【{EMOJI}{SIGNS}{JOINERS}]|[hH][tT][tT][pP][sS]?://"
    r"|(?<![A-Za-z0-9])[hH](?:[tT](?:[tT](?:[pP](?:[sS]?(?::/?)?)?)?)?)?\Z"
)
"""Matches where markup begins within a line, or may have begun at the end of the text."""
LINE_MARKS = "#>-*_=+•|"
"""Characters with which the markup of a line begins."""
MAX_INDENTATION = 16
MAX_RULE = 9
"""Characters of a rule by which it is known, whatever follows."""
MAX_RUN = 64
"""Most equal characters that are looked at in one step."""
MAX_CODE = 80
"""Characters behind backticks that count as code, if no others close it."""
_RULES = {
    **{mark: re.compile(rf"(?:{re.escape(mark)}|[ \t])+") for mark in "*_="},
    "-": re.compile(r"--[-:| \t]*|[- \t]+"),
}
_CELL_RULES = re.compile(r"[-:| \t]+")
_LINE_BREAK = re.compile(r"\r?\n")
_CELL_RULE = re.compile(r":?-+:?[ \t]*|:")


class MarkdownFilter(InlineMarkup):
    """Takes a text in pieces, and returns what a voice should read of it."""

    @property
    def is_idle(self) -> bool:
        """True if a text without special characters would be passed on as it is."""
        return not (
            self._text
            or self._at_line_start
            or self._takes_stop
            or self._code
            or self._behind_emoji
            or self._skips_blank
            or self._rule
            or self._in_long_url
        )

    def skip(self, text: str) -> None:
        """Take a text in which no markup begins, and which is passed on without this filter."""
        self._before = self._last = text[-1]
        self._has_output = True

    def feed(self, piece: str) -> str:
        """Take the next piece; return the text that is certain."""
        self._text += piece
        return self.scan()

    def flush(self) -> str:
        """Return the text that was held back, at its end."""
        self._at_end = True
        passed = self.scan()
        if self._takes_stop and self._has_output and not self._is_ended:
            passed += "."
            self._last = "."
        self._gap, self._at_end, self._takes_stop = "", False, False
        return passed

    def scan(self) -> str:
        while self._at < len(self._text):
            if not self.step():
                break
        self._text, self._at = self._text[self._at :], 0
        passed, self._out = "".join(self._out), []
        return passed

    def step(self) -> bool:
        """Take the next bit of the text; return False if it must be held back until more has come."""
        if self._rule is not None:
            return self.take_rule(self._rule)
        if self._in_long_url:
            return self.take_long_url()
        if self._at_line_start:
            return self.take_line_start()
        if self._at_cell:
            return self.take_cell_start()
        if self._code:
            return self.take_code()
        found = SPECIAL.search(self._text, self._at)
        start = found.start() if found else len(self._text)
        if start > self._at:
            self.put(self._text[self._at : start])
            self._at = start
        return self.take_special(self._text[start]) if found else True

    def take_special(self, mark: str) -> bool:
        handler = HANDLERS.get(mark)
        return handler(self) if handler else self.take_emoji()

    def take_line_start(self) -> bool:
        text, start = self._text, self._at
        end = start
        while end < len(text) and text[end] in " \t" and end - start < MAX_INDENTATION:
            end += 1
        if self.is_open_ended(end, start, MAX_INDENTATION):
            return False
        mark = text[end : end + 1]
        if mark and mark in LINE_MARKS and (taken := self.take_line_mark(mark, start, end)) is not None:
            return taken
        # Of a marked line the blanks behind the mark go, of another line none.
        self._at_line_start = False
        if end > start:
            if self._is_marked:
                self.drop(end - start)
            else:
                self.keep(end - start)
        return True

    def take_line_mark(self, mark: str, start: int, end: int) -> bool | None:
        """Take the mark of a line; return False to wait for more, None if it is no mark."""
        text = self._text
        if mark in _RULES and (taken := self.take_rule_start(mark, end)) is not None:
            return taken
        # A row is marked by its first bar; what has none is prose.
        if mark == "|":
            self._at_line_start = False
            self._is_marked = self._is_row = self._takes_stop = self._at_cell = True
            self._at = end
            return self.drop(1)
        if mark in "_=":
            return None
        stop = end
        while stop < len(text) and text[stop] == mark and stop - end < 7:
            stop += 1
        if self.is_open_ended(stop, end, 8):
            return False
        size = stop - end
        if size > {"#": 6, ">": 4}.get(mark, 1) or text[stop : stop + 1] not in ("", " ", "\t", "\n", "\r", "\u00a0"):
            return None
        self._is_marked = True
        self._takes_stop = self._takes_stop or mark != ">"
        self._at = end
        return self.drop(size + (text[stop : stop + 1] in (" ", "\t", "\u00a0")))

    def take_rule_start(self, mark: str, start: int) -> bool | None:
        """Take the beginning of a rule; return False to wait for more, None if it is none."""
        text = self._text
        found = _RULES[mark].match(text, start)
        end = found.end() if found else start
        if self.is_open_ended(end, start, MAX_RULE):
            return False
        is_alone = end - start >= MAX_RULE or end == len(text) or text[end] in "\r\n"
        head = text[start : min(end, start + MAX_RULE)]
        if not is_alone or (head.count(mark) < 3 and not ("--" in head and "|" in head)):
            return None
        self._rule = _CELL_RULES if mark == "-" else _RULES[mark]
        self._at = start
        return True

    def take_rule(self, rule: re.Pattern[str]) -> bool:
        found = rule.match(self._text, self._at)
        if found:
            self.drop(found.end() - self._at)
            return True
        # The line break of a rule goes with it.
        self._rule = None
        line_break = _LINE_BREAK.match(self._text, self._at)
        if line_break:
            self._at = line_break.end()
            self.begin_line()
        elif self._text[self._at] == "\r" and self.is_open_ended(self._at + 1, self._at, 2):
            self._rule = rule
            return False
        else:
            self._at_line_start = False
        return True

    def begin_line(self) -> None:
        self._at_line_start = True
        self._is_marked = self._is_row = self._takes_stop = self._has_output = False
        self._at_cell = self._behind_cell = self._skips_blank = False
        self._gap = ""
        self._is_ended = False
        self._code = 0
        self._before = "\n"

    def take_line_break(self) -> bool:
        self._at += 1
        carriage_return = "\r" if self._gap.endswith("\r") else ""
        if self._takes_stop and self._has_output and not self._is_ended:
            self._out.append(".")
        if not self._has_output:
            # A blank line ends a paragraph, and with it what has not been closed.
            self._open = {"*": 0, "_": 0}
        # Of a mark, or a row of rules, without any words nothing is left.
        if self._has_output or not self._takes_stop:
            self._out.append(f"{carriage_return}\n")
            self._last = "\n"
        self.begin_line()
        return True

    def take_bar(self) -> bool:
        if not self._is_row:
            return self.keep(1)
        self._at_cell = True
        self._behind_cell = self._has_output
        self._gap = ""
        return self.drop(1)

    def take_cell_start(self) -> bool:
        text, start = self._text, self._at
        if text[start] in " \t":
            return self.drop(1)
        found = _CELL_RULE.match(text, start, start + MAX_RULE)
        stop = found.end() if found else start
        if found and self.is_open_ended(stop, start, MAX_RULE):
            return False
        # A cell of dashes alone is the rule below a table's head.
        self._at_cell = False
        if found and (stop - start >= MAX_RULE or text[stop : stop + 1] in ("", "|", "\n", "\r")) and "-" in found[0]:
            self._at_cell = stop - start >= MAX_RULE
            return self.drop(stop - start)
        return True

    def run(self, mark: str) -> int:
        """Return the length of the run of a mark that begins here; 0 if more of it may come."""
        end = self._at
        while end < len(self._text) and self._text[end] == mark and end - self._at < MAX_RUN:
            end += 1
        return 0 if self.is_open_ended(end, self._at, MAX_RUN) else end - self._at

    def take_emphasis(self) -> bool:
        mark = self._text[self._at]
        size = self.run(mark)
        if not size:
            return False
        after = self._text[self._at + size : self._at + size + 1]
        if self.is_emphasis(mark, size, after):
            return self.drop(size)
        return self.keep(size)

    def is_emphasis(self, mark: str, size: int, after: str) -> bool:
        """Return True if a run of stars or underscores is markup, and note what it opens or closes."""
        before = self._before
        blank_before, blank_after = not before.strip(), not after.strip()
        is_open = self._open[mark] > 0
        if after == "\ufe0f" or (blank_before and blank_after):
            # The end of an answer that broke off may be the beginning of an emphasis.
            return size > 1 and not after and self._at_end and bool(before)
        # "snake_case"
        if mark == "_" and _is_word(before) and _is_word(after):
            return False
        if not blank_before and is_open and not (mark == "_" and not _is_word(before) and _is_word(after)):
            self._open[mark] = max(0, self._open[mark] - size)
            return True
        if not blank_before and (blank_after or not (_is_word(after) or after in "*_`[(<\"'“‘«¿¡$€£#@~")):
            # Nothing is open that it could close: the name of a key or a language.
            return size > 1 and mark == "*"
        if before.isdigit() and after.isdigit():
            return False
        if size == 1 and mark == "*" and (after.isdigit() or after == "#" or (before.isascii() and before.isalnum())):
            # "*67" is dialled, "a*b" is a product.
            return not before.isascii() and not after.isdigit()
        if mark == "_" and before and before in ")]}":
            return False
        self._open[mark] += size
        return True

    def take_tilde(self) -> bool:
        size = self.run("~")
        if not size:
            return False
        after = self._text[self._at + size : self._at + size + 1]
        return self.drop(2) if size == 2 and (self._before.strip() or after.strip()) else self.keep(size)

    def take_backticks(self) -> bool:
        size = self.run("`")
        if not size:
            return False
        after = self._text[self._at + size : self._at + size + 1]
        # The same number of backticks closes what it opened; others within are left out, too.
        if self._code == size:
            self._code = 0
        elif not self._code and after.strip("\n") and not (self._before.isascii() and self._before.isalnum()):
            self._code, self._code_left = size, MAX_CODE
        return self.drop(size)

    def take_code(self) -> bool:
        text, end = self._text, self._at
        stop = min(len(text), end + self._code_left)
        while end < stop and text[end] not in "`\n" and not (text[end] == "|" and self._is_row):
            end += 1
        self._code_left -= end - self._at
        if end > self._at:
            self.keep(end - self._at)
        if end < len(text) and text[end] == "`":
            return self.take_backticks()
        if end < len(text):
            self._code = 0
        return True


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


HANDLERS: dict[str, Any] = {
    "*": MarkdownFilter.take_emphasis,
    "_": MarkdownFilter.take_emphasis,
    "~": MarkdownFilter.take_tilde,
    "`": MarkdownFilter.take_backticks,
    "[": MarkdownFilter.take_bracket,
    "!": MarkdownFilter.take_exclamation,
    "<": MarkdownFilter.take_less,
    "&": MarkdownFilter.take_ampersand,
    "\\": MarkdownFilter.take_backslash,
    "\n": MarkdownFilter.take_line_break,
    "|": MarkdownFilter.take_bar,
    "【": MarkdownFilter.take_source,
    "h": MarkdownFilter.take_url,
    "H": MarkdownFilter.take_url,
}
"""The method for the markup that begins with a character; all others are of emoji."""
