"""Links, footnotes, addresses, HTML, entities, escapes and emoji taken out of a streamed text, for `markdown.py`."""

import re

from parley.speech.markdown_text import MarkdownText
from parley.wire.thoughts import ATTRIBUTES, TAG_BEGUN

EMOJI = (
    "\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be"
    "\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757"
    "\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\U0001f004\U0001f0cf\U0001f18e\U0001f191-\U0001f19a"
    "\U0001f1e6-\U0001f1ff\U0001f201\U0001f21a\U0001f22f\U0001f232-\U0001f236\U0001f238-\U0001f23a\U0001f250\U0001f251"
    "\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f7e0-\U0001f7f0\U0001f90c-\U0001f9ff\U0001fa70-\U0001faff"
)
"""Characters that are shown as emoji by themselves, modifiers and flags among them, as a class of a pattern."""
SIGNS = (
    "©®‼⁉™\u2139\u2194-\u21aa\u2328\u23cf-\u23fa\u24c2\u25aa-\u27bf\u2934\u2935\u2b05-\u2b55"
    "\u3030\u303d\u3297\u3299🅰🅱🅾🅿🈂🈷"
)
"""Characters that are emoji only if U+FE0F or a modifier follows."""
MAX_BRACKET, MAX_TARGET, MAX_TAG, MAX_URL, MAX_SOURCE = 200, 2300, 200, 2048, 64
"""Limits on what is held back, in characters."""
_BRACKET = re.compile(r"\[((?:[^\[\]\n]|\[[^\[\]\n]*\])*)\]")
_DESTINATION = r"[^\s()<>]*(?:\([^\s()]*\)[^\s()]*)*"
_TARGET = re.compile(rf"""\((?:<[^<>\n]*>|{_DESTINATION})(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*')?)?[ \t]*\)""")
_TARGET_BEGUN = re.compile(
    rf"""\((?:<[^<>\n]*|(?:<[^<>\n]*>|{_DESTINATION})(?:\([^\s()]*)?(?:[ \t]+(?:"[^"\n]*"?|'[^'\n]*'?)?[ \t]*)?)\Z"""
)
_FOOTNOTE = re.compile(r"\^?\d{1,3}|\^[\w-]{1,32}")
_SOURCE = re.compile(r"【[^】\n]*】")
_URL = re.compile(r"[hH][tT][tT][pP][sS]?://[^\s<>\"`|\u2e80-\uffef]*")
_URL_BEGUN = re.compile(r"[hH](?:[tT](?:[tT](?:[pP](?:[sS]?(?::/?)?)?)?)?)?\Z")
_URL_END = re.compile(r"[.,;:!?)\]}'*_~…’”]*\Z")
_HOST = re.compile(r"[^/]*//(?:[^\s/@?#]*@)?(?:[wW]{3}\.)?([^\s/?#:]+)")
_AUTOLINK = re.compile(r"<([hH][tT][tT][pP][sS]?://[^\s<>]+)>")
_AUTOLINK_BEGUN = re.compile(r"<[hH](?:[tT](?:[tT](?:[pP](?:[sS]?(?::(?:/(?:/[^\s<>]*)?)?)?)?)?)?)?\Z")
BLOCK_TAGS = frozenset("br div h1 h2 h3 h4 h5 h6 hr li ol p pre table td th tr ul".split())  # noqa: SIM905
TAGS = BLOCK_TAGS | set("a b code em i s small span strong sub sup u".split())  # noqa: SIM905
_NAMES = "|".join(sorted(TAGS, reverse=True))
_TAG = re.compile(rf"</?({_NAMES}){ATTRIBUTES}/?>", re.IGNORECASE)
_TAG_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9]*|)")
_TAG_BEGINNINGS = frozenset(name[:size] for name in TAGS for size in range(len(name) + 1))
_NOTE = re.compile(r"<sup>\[?\d{1,3}\]?</sup>", re.IGNORECASE)
_NOTE_BEGUN = re.compile(r"<sup>\[?\d{0,3}\]?(?:<(?:/(?:s(?:u(?:p)?)?)?)?)?\Z", re.IGNORECASE)
ENTITIES = {
    **{"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&#x27;": "'", "&apos;": "'"},
    "&nbsp;": "\u00a0",
}
MAX_ENTITY = 8
_ENTITY_BEGINNINGS = frozenset(name[:size] for name in ENTITIES for size in range(1, len(name)))
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_SIGN = re.compile(f"(?![{EMOJI}])[{SIGNS}]")


class InlineMarkup(MarkdownText):
    """Takes the markup that may stand anywhere in a text.

    Each method takes what begins at the present character, and returns False if it must wait for more of the text.
    """

    def take_exclamation(self) -> bool:
        if self.is_open_ended(self._at + 1, self._at, 2):
            return False
        if self._text[self._at + 1 : self._at + 2] == "[":
            return self.take_bracket(1)
        return self.keep(1)

    def take_bracket(self, offset: int = 0) -> bool:
        text, start = self._text, self._at + offset
        found = _BRACKET.match(text, start, start + MAX_BRACKET + 2)
        if not found:
            is_undecided = "\n" not in text[start : start + MAX_BRACKET + 2]
            return not (is_undecided and self.is_open_ended(len(text), start, MAX_BRACKET + 2)) and self.keep(1)
        end = found.end()
        if self.is_open_ended(end, start, MAX_BRACKET + 3):
            return False
        # A footnote in front of an address is a link.
        if text[end : end + 1] == "(":
            target = _TARGET.match(text, end, end + MAX_TARGET)
            if target:
                # Its words may hold markup themselves.
                self._text, self._at = found[1] + text[target.end() :], 0
                return True
            if self.is_open_ended(len(text), end, MAX_TARGET) and _TARGET_BEGUN.match(text, end):
                return False
        elif not offset and _FOOTNOTE.fullmatch(found[1]):
            defines = text[end : end + 1] == ":" and not self._has_output
            return self.drop(end + defines - self._at, blanks=True)
        return self.keep(1)

    def take_source(self) -> bool:
        found = _SOURCE.match(self._text, self._at, self._at + MAX_SOURCE)
        if found:
            is_source = "†" in found[0] or found[0][1].isdigit()
            return self.drop(len(found[0]), blanks=True) if is_source else self.keep(1)
        goes_on = "\n" not in self._text[self._at : self._at + MAX_SOURCE]
        return not (goes_on and self.is_open_ended(len(self._text), self._at, MAX_SOURCE)) and self.keep(1)

    def take_url(self) -> bool:
        text, start = self._text, self._at
        if self._before.isascii() and self._before.isalnum():
            return self.keep(1)
        # "ht" at the end of a piece may go on as "https://".
        if not self._at_end and _URL_BEGUN.match(text, start):
            return False
        found = _URL.match(text, start, start + MAX_URL)
        if not found:
            return self.keep(1)
        if self.is_open_ended(found.end(), start, MAX_URL):
            return False
        self._in_long_url = found.end() - start >= MAX_URL
        url = found[0] if self._in_long_url else _without_end(found[0])
        host = _HOST.match(url)
        if not host:
            return self.keep(1)
        self._at += len(url)
        self.put(host[1])
        return True

    def take_long_url(self) -> bool:
        end = self._at
        while end < len(self._text) and not self._text[end].isspace():
            end += 1
        self._in_long_url = end == len(self._text)
        self._at = end
        return True

    def take_less(self) -> bool:
        text, start = self._text, self._at
        if link := _AUTOLINK.match(text, start, start + MAX_URL):
            host = _HOST.match(link[1])
            self._at = link.end()
            self.put(host[1] if host else link[1])
            return True
        if note := _NOTE.match(text, start):
            return self.drop(len(note[0]), blanks=True)
        begun = _NOTE_BEGUN.match(text, start) or (
            self.is_open_ended(len(text), start, MAX_URL) and _AUTOLINK_BEGUN.match(text, start)
        )
        if begun and not self._at_end:
            return False
        if tag := _TAG.match(text, start, start + MAX_TAG):
            self.drop(len(tag[0]))
            # The words of two blocks must not stick together.
            if tag[1].lower() in BLOCK_TAGS and self._has_output and not self._last.isspace() and not self._gap:
                before = self._before
                self.put(" ")
                self._before = before
            self._skips_blank = bool(self._gap) or not self._has_output or self._last.isspace()
            return True
        name = _TAG_NAME.match(text, start)
        may_be_known = name and (
            name[1].lower() in TAGS or (name.end() == len(text) and name[1].lower() in _TAG_BEGINNINGS)
        )
        if may_be_known and self.is_open_ended(len(text), start, MAX_TAG) and TAG_BEGUN.match(text, start):
            return False
        return self.keep(1)

    def take_ampersand(self) -> bool:
        # Passed on at once: "&lt;b&gt;" is no tag.
        for name, sign in ENTITIES.items():
            if self._text.startswith(name, self._at):
                self._at += len(name)
                self.put(sign)
                return True
        begun = self._text[self._at : self._at + MAX_ENTITY] in _ENTITY_BEGINNINGS
        return (self._at_end or not begun) and self.keep(1)

    def take_backslash(self) -> bool:
        after = self._text[self._at + 1 : self._at + 2]
        if not after:
            return self._at_end and self.keep(1)
        if after not in _PUNCTUATION or after in "()":
            # Formulas begin with `\(`.
            return self.keep(2 if after in "()\\" else 1)
        if after == "[":
            behind = self._text[self._at + 2 : self._at + 3]
            if not behind and not self._at_end:
                return False
            if not behind.strip():
                return self.keep(2)
        if after == "]" and not self._before.strip():
            return self.keep(2)
        self._at += 2
        self.put(after)
        return True

    def take_emoji(self) -> bool:
        sign = self._text[self._at]
        if sign == "\u200d" or "\U000e0020" <= sign <= "\U000e007f":
            if not self._behind_emoji:
                return self.keep(1)
            self._joined = self._joined or sign == "\u200d"
            return self.drop(1)
        if sign in "\ufe0f\u20e3":
            # For the flanks of an emphasis they are no characters.
            before = self._before
            self.drop(1)
            self._before = before
            return True
        if _SIGN.match(sign) and not self._joined:
            after = self._text[self._at + 1 : self._at + 2]
            if not after and not self._at_end:
                return False
            if after != "\ufe0f" and not "\U0001f3fb" <= (after or " ") <= "\U0001f3ff":
                return self.keep(1)
        self.drop(1, blanks=True)
        self._behind_emoji, self._joined = True, False
        return True


def _without_end(url: str) -> str:
    """Return an address without the marks of the sentence behind it; a bracket that it opened itself stays."""
    bare = _URL_END.sub("", url)
    while url[len(bare) : len(bare) + 1] == ")" and bare.count("(") > bare.count(")"):
        bare = url[: len(bare) + 1]
    return bare
