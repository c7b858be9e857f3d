"""Markup taken out of a text: HTML tags, comments, scripts, styles and character references.

A knowledge text is prose, seldom HTML, so most signs that HTML would take for markup are meant as they stand: `a < b`,
`List<String>`, `<your name>`, anything in backticks. The standard library's parser reads what is left once these are
escaped. A tag counts as one if HTML has an element of that name, its attributes are written as HTML writes them, and,
unless it has any or HTML lets it go without, its counterpart or other markup stands somewhere in the text. Markdown
stays: models read it well.
"""

import html
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

PIECE = 1 << 12
"""Most characters that are looked at in one step."""

ALONE = frozenset({"br", "hr", "wbr"})
"""Elements without an end."""
ALONE_WITH_ATTRIBUTES = frozenset({"area", "base", "col", "embed", "img", "input", "link", "meta", "source", "track"})
"""Elements without an end that say nothing unless they have an attribute: a bare `<link>` or `<source>` is prose."""
END_OPTIONAL = frozenset({"p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option", "html", "body"})
"""Elements whose end may be left out."""
DROPPED = frozenset({"script", "style", "head", "template", "noscript", "svg", "textarea", "select"})
"""Elements whose content nobody would read out; they count only if their end follows."""
BLOCKS = frozenset(
    """
    address article aside blockquote body br caption center dd details dialog div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hr html legend li main menu nav ol p pre section summary table tbody tfoot
    thead tr ul
    """.split()  # noqa: SIM905 - a column of forty quoted names is harder to read
)
"""Elements that stand on lines of their own. A text with one of them breaks its lines by elements alone."""
LINES = frozenset(
    {"li", "tr", "dt", "dd", "div", "caption", "figcaption", "legend", "summary", "tbody", "thead", "tfoot"}
)
"""Blocks that no blank line parts from their neighbours."""
LINE, BR = "\x1e", "\x1f"
"""Marks of breaks while a text is read. Both are control characters, which are taken out of texts in any case."""
INLINE = frozenset(
    """
    a abbr acronym area audio b base bdi bdo big button canvas cite code col colgroup data datalist del dfn em embed
    font i iframe img input ins kbd label link map mark meta meter object optgroup option output param picture progress
    q rp rt ruby s samp small source span strike strong sub sup td th time title tr track tt u var video wbr
    """.split()  # noqa: SIM905 - as above
)
ELEMENTS = BLOCKS | INLINE | DROPPED
BOOLEAN = frozenset(
    """
    allowfullscreen async autofocus autoplay checked compact controls default defer disabled download hidden inert
    ismap itemscope loop multiple muted nomodule noshade novalidate nowrap open playsinline readonly required reversed
    selected
    """.split()  # noqa: SIM905 - as above
)
"""Attributes that may stand without a value."""

_ATTRIBUTE = r"""\s+([^\s<>"'=/]+)(\s*=\s*(?:"[^"<]*"|'[^'<]*'|[^\s"'<>=]+))?"""
# Without "<" inside, a search from one "<" ends at the next: the time grows with the text's length alone. Word writes
# elements such as <o:p>, Confluence <ac:structured-macro>.
_TAG = re.compile(rf"<(/?)([A-Za-z][A-Za-z0-9]*(?::[A-Za-z][A-Za-z-]*)?)((?:{_ATTRIBUTE})*)\s*/?>")
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_TOKEN = re.compile(
    r"(?P<code>```.*?```|`[^`\n]{1,500}`)|(?P<declaration><!--|-->|<!doctype\b[^<>]*>|<\?xml\b[^<>]*\?>)"
    r"|(?P<character>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)"
    rf"|(?P<tag>{_TAG.pattern})|[<&]",
    re.DOTALL | re.IGNORECASE,
)
# What editors escape twice: the text then shows "&nbsp;" to its readers.
_ESCAPED_TWICE = re.compile(r"&amp;(?=(?:nbsp|amp|quot|apos|#39|#160|[lr][sd]quo|[nm]dash|hellip|euro|[A-Za-z]uml);)")
_ESCAPED_HTML = re.compile(r"\s*<([a-z][a-z0-9]*)\b[^<>]*>.*</[a-z][a-z0-9]*\s*>\s*", re.DOTALL | re.IGNORECASE)
_BREAKS = re.compile(rf" *[\n{LINE}{BR}][ \n{LINE}{BR}]*")
_CONTACT = re.compile(r"(?:tel|mailto):([^?]+)", re.IGNORECASE)


def plain(text: str, breathe: Callable[[], None] = lambda: None) -> tuple[str, bool]:
    """Return the text without markup, and true if there was any. `breathe` is called at each step."""
    # perf: saves 20 µs (a passage of 700 characters without either sign)
    if "<" not in text and "&" not in text:
        return text, False
    read, marked = read_markup(text, breathe)
    if not marked:
        return text, False
    # The whole of it was escaped: it is markup all the same, once it has become readable.
    if not _TAG.search(text) and _ESCAPED_HTML.fullmatch(read):
        read, _ = read_markup(read, breathe)
    return read, True


def read_markup(text: str, breathe: Callable[[], None]) -> tuple[str, bool]:
    """Return the text without its markup, and true if there was any."""
    if "<![CDATA[" in text:
        text = text.replace("<![CDATA[", "").replace("]]>", "")
        found = True
    else:
        found = False
    sorter = _Sorter(text, breathe)
    reader = _Reader(has_blocks=not sorter.elements.isdisjoint(BLOCKS))
    for piece in pieces_of(text):
        breathe()
        reader.feed(_TOKEN.sub(sorter.escaped, _ESCAPED_TWICE.sub("&", piece)))
    reader.close()
    return (reader.text(), True) if found or sorter.found else (text, False)


def pieces_of(text: str) -> Iterator[str]:
    """Yield the text in pieces that end before a tag or between two words, so that no tag and no reference is cut."""
    start = 0
    while start < len(text):
        end = text.find("<", start + PIECE)
        end = len(text) if end < 0 else end
        blank = text.find(" ", start + PIECE, end)
        tag = text.rfind("<", start, blank) if blank > 0 else -1
        # Not inside of a tag that begins in this piece.
        if blank > 0 and (tag < 0 or text.find(">", tag, blank) > 0):
            end = blank
        yield text[start:end]
        start = end


class _Sorter:
    """Tells a text's markup from signs that are meant as they stand, which it escapes."""

    def __init__(self, text: str, breathe: Callable[[], None]) -> None:
        self.found = False
        self._opened: set[str] = set()
        self._closed: set[str] = set()
        self._has_comments = -1 < text.find("<!--") < text.rfind("-->")
        for piece in pieces_of(text):
            breathe()
            for tag in _TAG.finditer(piece):
                (self._closed if tag[1] else self._opened).add(tag[2].lower())
        # Those that count whatever else the text holds.
        self.elements: set[str] = set()
        self.elements = {
            name
            for name in self._opened | self._closed
            if name not in ALONE_WITH_ATTRIBUTES and self._is_element(name, has_attributes=False)
        }

    def escaped(self, token: re.Match[str]) -> str:
        """Return a token as the parser shall get it: markup as it is, everything else escaped."""
        whole = token[0]
        if whole in ("<!--", "-->"):
            self.found |= self._has_comments
            return whole if self._has_comments else html.escape(whole, quote=False)
        if token["character"] or token["declaration"]:
            self.found = True
            return whole
        tag = _TAG.fullmatch(whole) if token["tag"] else None
        if tag and self._is_tag(tag):
            self.found = True
            return whole
        return html.escape(whole, quote=False)

    def _is_tag(self, tag: re.Match[str]) -> bool:
        attributes = _ATTRIBUTES.findall(tag[3])
        well_written = all(value or name.lower() in BOOLEAN for name, value in attributes)
        return well_written and self._is_element(tag[2].lower(), has_attributes=bool(attributes))

    def _is_element(self, name: str, *, has_attributes: bool) -> bool:
        if name in ALONE or name in END_OPTIONAL:
            return True
        if name in ALONE_WITH_ATTRIBUTES:
            return has_attributes
        paired = name in self._opened and name in self._closed
        # Without its end, one of these would swallow the rest of the text.
        if name in DROPPED:
            return paired
        # A text that was cut off lacks an end; in prose `<address>` is a place to fill in.
        return (name in ELEMENTS or ":" in name) and (paired or has_attributes or bool(self.elements))


class _Reader(HTMLParser):
    """Collects the text between the tags: a line for each block, `- ` before an item, ` | ` between cells."""

    def __init__(self, has_blocks: bool) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._has_blocks = has_blocks
        self._dropped: list[str] = []
        self._verbatim = 0
        self._contact = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        given = dict(attrs)
        if tag in DROPPED:
            self._dropped.append(tag)
        elif tag in BLOCKS:
            self._parts.append(break_of(tag) + ("- " if tag == "li" else ""))
            self._verbatim += tag == "pre"
        elif tag in ("td", "th"):
            self._parts.append("\t")
        elif tag == "img" and not self._dropped:
            self._parts.append(given.get("alt") or "")
        elif tag == "a" and (contact := _CONTACT.match(given.get("href") or "")):
            self._contact = contact[1].strip()

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        if tag in self._dropped:
            del self._dropped[self._dropped.index(tag) :]
        elif tag in BLOCKS:
            self._parts.append(break_of(tag))
            self._verbatim = max(0, self._verbatim - (tag == "pre"))
        elif tag == "a" and self._contact:
            # A number that only the link knows is what a caller asks for.
            if self._contact not in "".join(self._parts[-4:]):
                self._parts.append(f" ({self._contact})")
            self._contact = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin and end an element written `<br/>`."""
        self.handle_starttag(tag, attrs)
        if tag not in ALONE | ALONE_WITH_ATTRIBUTES:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        """Take the text between two tags."""
        if not self._dropped:
            data = data.replace("\xa0", " ")
            if self._has_blocks:
                # The blanks of preformatted text are marked until all others have been taken out.
                data = data.replace(" ", "\xa0") if self._verbatim else re.sub(r"\s+", " ", data)
            self._parts.append(data)

    def text(self) -> str:
        """Return all that was read, without blank lines in a row and blanks at the ends of lines."""
        joined = "".join(self._parts)
        if not self._has_blocks:
            return joined
        # An item's own paragraph begins behind its dash.
        breaks = _BREAKS.sub(line_end, re.sub(rf"- [\s{LINE}{BR}]+(?=[^-\s{LINE}{BR}])", "- ", joined))
        lines = [re.sub(r" *\t *", " | ", line.strip(" ").lstrip("\t")).strip(" ") for line in breaks.split("\n")]
        return re.sub(r"(?m)^-$\n?", "", "\n".join(lines)).replace("\xa0", " ").strip("\n")


def break_of(tag: str) -> str:
    """Return the mark of the break before and behind a block."""
    return BR if tag == "br" else LINE if tag in LINES else "\n\n"


def line_end(breaks: re.Match[str]) -> str:
    """Return the line ends for a run of breaks: a blank line between paragraphs, or where two <br> follow."""
    run = breaks[0]
    return "\n\n" if "\n\n" in run.replace(" ", "") or run.count(BR) > 1 else "\n"
