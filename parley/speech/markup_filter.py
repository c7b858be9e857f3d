"""Parts of a streamed answer that are not said: thoughts in every family's markup, tool calls, code, special tokens.

    outside --- opening of a block ---> inside, depth 1 --- its closing, depth 0 ---> outside
       |                                  |  an opening of the same kind: depth + 1
       |                                  +- end of the text: nothing of the block is said; if it was opened twice and
       |                                     closed once, what stands behind that closing is
       +--- closing of a thought without its opening: all text before it was thought, and is retracted

The marks of thoughts are in `wire/thoughts.py`, those of all else here. Markup within a clause (Markdown, HTML, links)
is the business of `speech_text`.
"""

import re

from parley.wire.thoughts import (
    BREAKS,
    FLAGS,
    SPECIAL_TOKEN,
    TAG_BEGUN,
    THOUGHT_BLOCKS,
    THOUGHTS,
    Block,
    Marks,
    literal,
    tags,
)

MACHINE_TAGS = "tool_calls? function_calls? tool_responses?".split()  # noqa: SIM905
"""Names of tags around texts for programs."""
MACHINE_BLOCKS = (
    Block(("<|tool_call>",), ("<tool_call|>",)),  # Gemma
    Block(("<|start_action|>",), ("<|end_action|>",)),  # Cohere
    Block(("<|tool_calls_section_begin|>",), ("<|tool_calls_section_end|>",)),  # Kimi
    Block(("<｜tool▁calls▁begin｜>",), ("<｜tool▁calls▁end｜>",)),  # DeepSeek
    Block(("<｜dsml｜function_calls>",), ("</｜dsml｜function_calls>",)),
    Block(("<｜dsml｜tool_calls>",), ("</｜dsml｜tool_calls>",)),
    Block(("<function=",), ("</function>",)),  # Llama
    Block(("[tool_calls]", "<|python_tag|>")),  # Mistral, Llama: to the end of the answer
    # A longer fence holds shorter ones.
    Block(("````",), ("````",)),
    Block(("```",), ("```",)),
    Block(("~~~",), ("~~~",), leads=True),
)
"""Tool calls, and code."""

_LEAD = r"(?:^|(?<=[.!?…]\s))"
"""The beginning of a line or a sentence."""
_LEADS = re.compile(_LEAD, FLAGS)
_LONGEST_TAG = 300
"""Limit on a tag with its attributes, in characters."""
_QUOTES = "`\"'“‘’”"
"""Marks around a tag that is spoken of, not used."""


class _Scope:
    """A state of the filter: the markup that matters in it, also where it has only begun.

    `strings` may begin anywhere, `leading` ones at the beginning of a line or a sentence. `reach` is the most
    characters at the end of a text in which markup may have begun.
    """

    def __init__(self, pattern: str, strings: tuple[str, ...] = (), leading: tuple[str, ...] = ()) -> None:
        self.pattern = re.compile(pattern, FLAGS)
        self._begun = {text[:size] for text in strings for size in range(1, len(text) + text.isalpha())}
        self._begun_leading = {text[:size] for text in leading for size in range(1, len(text) + text.isalpha())}
        self._longest = max(map(len, (*strings, *leading)), default=0)
        self.reach = max(self._longest, _LONGEST_TAG)

    def begun(self, text: str, start: int) -> int:
        """Return where markup may have begun whose rest has not come yet; the length of the text if nowhere."""
        tag = TAG_BEGUN.search(text, max(start, len(text) - _LONGEST_TAG))
        end = tag.start() if tag else len(text)
        for at in range(max(start, len(text) - self._longest), end):
            tail = text[at:].lower()
            if tail in self._begun or (tail in self._begun_leading and _LEADS.match(text, at)):
                return at
        return end


class Grammar:
    """Kinds of blocks and single marks that are taken out of a text, and what is left in their place.

    `gap` is left for a block, `token_gap` for a special token.
    """

    def __init__(
        self,
        marks: tuple[Marks, ...],
        blocks: tuple[Block, ...],
        breaks: tuple[str, ...],
        *,
        gap: str = "\n",
        token_gap: str = " ",
    ) -> None:
        self.gap = gap
        self.token_gap = token_gap
        # The state inside of each kind of block, in the order of the marks.
        self.inside = tuple(
            _Scope(f"(?P<end>{each.closing})|(?P<until>{each.until})|(?P<open>{each.opening})", each.strings)
            for each in marks
        )
        lone = tuple(closing for block in blocks if block.closing_retracts for closing in block.closings)
        named = [
            (each.leads, f"(?P<kind{number}>{_LEAD * each.leads}{each.opening})") for number, each in enumerate(marks)
        ]
        leading = [pattern for leads, pattern in named if leads]
        # perf: saves two thirds of the search (1.9 MB of text): most characters begin nothing.
        pattern = (
            r"(?=[<\[\]◁&`])(?:"
            + "|".join(pattern for leads, pattern in named if not leads)
            + f"|(?P<orphan>{'|'.join(each.lone for each in THOUGHTS)})"
            + f"|(?P<cut>{literal(breaks)})|(?P<token>{SPECIAL_TOKEN}))"
        )
        self.outside = _Scope(
            "|".join([pattern, *leading]),
            (*lone, *breaks, *(text for block in blocks if not block.leads for text in block.openings)),
            tuple(text for block in blocks if block.leads for text in block.openings),
        )


SPOKEN = Grammar(
    (*THOUGHTS, Marks(tags(MACHINE_TAGS), tags(MACHINE_TAGS, "/")), *map(Marks.of, MACHINE_BLOCKS)),
    (*THOUGHT_BLOCKS, *MACHINE_BLOCKS),
    BREAKS,
)
"""The grammar of a voice."""


class MarkupFilter:
    """Passes a streamed text on without what is not said, wherever its pieces are cut.

    `retracted` is true behind a call that has found that all text before, passed on or not, was thought. Without
    `retracts` such text stays: it has been sent.
    """

    def __init__(self, grammar: Grammar = SPOKEN, *, retracts: bool = True) -> None:
        self._grammar = grammar
        self._retracts = retracts
        self.retracted = False
        self._held = ""
        self._last = ""
        self._inside: _Scope | None = None
        self._depth = 0
        self._block_is_empty = False
        self._behind_closing: list[str] | None = None

    @property
    def is_idle(self) -> bool:
        """True if nothing is held back and no block is open."""
        return not self._held and self._inside is None

    def skip(self, text: str) -> None:
        """Take a text in which no markup begins, and which is passed on without this filter."""
        self._last = (self._last + text)[-2:]

    def feed(self, piece: str) -> str:
        """Take the next piece, and return the text that is certain to be said."""
        self._held += piece
        return self._scan(at_end=False)

    def flush(self) -> str:
        """Return the text held back at the end; a block that never ended stays unsaid."""
        passed = self._scan(at_end=True)
        if self._behind_closing is None:
            return passed
        # A block that was opened twice and closed once: most likely one of the openings was only spoken of.
        rest = MarkupFilter(self._grammar, retracts=self._retracts)
        return passed + rest.feed("".join(self._behind_closing)) + rest.flush()

    def _scan(self, *, at_end: bool) -> str:
        passed: list[str] = []
        self.retracted = False
        while match := self._next(at_end=at_end):
            text, head = match.string, match.string[len(self._last) : match.start()]
            self._held = text[match.end() :]
            if self._inside is not None:
                self._step_inside(match, head)
                continue
            if match.lastgroup == "orphan" and self._retracts:
                passed.clear()
                self.retracted = True
            else:
                passed.append(head)
            # The line break parts the text before a block from the text behind it.
            gap = self._grammar.token_gap if match.lastgroup == "token" else self._grammar.gap
            self._last = gap[-2:]
            passed.append(gap)
            if match.lastgroup and match.lastgroup.startswith("kind"):
                self._inside = self._grammar.inside[int(match.lastgroup[4:])]
                self._depth, self._block_is_empty, self._behind_closing = 1, True, None
        return "".join(passed) + self._rest(at_end=at_end)

    def _next(self, *, at_end: bool) -> re.Match[str] | None:
        """Return the next markup that is complete, None if there is none yet."""
        scope = self._inside or self._grammar.outside
        text, start = self._last + self._held, len(self._last)
        # perf: saves nine tenths (1.9 MB of tags) and a quarter of a piece: only markup near the end may be a part of
        # longer markup.
        near_end = len(text) if at_end else len(text) - scope.reach
        for match in scope.pattern.finditer(text, start):
            if match.start() >= near_end and not at_end and match.start() >= scope.begun(text, start):
                break
            is_quoted = match.start() and text[match.start() - 1] in _QUOTES and match[0][0] in "<[◁&"
            if not is_quoted:
                return match
            if match.end() == len(text) and not at_end:
                break
            if text[match.end() : match.end() + 1] not in tuple(_QUOTES):
                return match
        return None

    def _step_inside(self, match: re.Match[str], head: str) -> None:
        """Take a closing or a further opening inside of a block; `head` is the text before it."""
        self._drop(head)
        self._last = "\n"
        if match.lastgroup == "open":
            # A model repeats the opening of its prompt: "<think>\n<think>".
            self._depth += not self._block_is_empty
            self._behind_closing = None
            return
        self._depth -= 1
        self._behind_closing = [] if self._depth else None
        if match.lastgroup == "until" or not self._depth:
            self._inside, self._behind_closing = None, None
        if match.lastgroup == "until":
            self._held = match[0] + self._held

    def _drop(self, text: str) -> None:
        """Drop text inside of a block."""
        self._block_is_empty = self._block_is_empty and not text.strip()
        if self._behind_closing is not None:
            self._behind_closing.append(text)

    def _rest(self, *, at_end: bool) -> str:
        """Return what can be passed on of the text behind the last complete markup; hold back the remainder."""
        text, start = self._last + self._held, len(self._last)
        end = (
            len(text)
            if at_end
            else self._quoted(text, (self._inside or self._grammar.outside).begun(text, start), start)
        )
        rest, self._held = text[start:end], text[end:]
        self._last = (self._last + rest)[-2:]
        if self._inside is not None:
            self._drop(rest)
            return ""
        return rest

    def _quoted(self, text: str, end: int, start: int) -> int:
        """Return `end`, or where a quoted tag begins whose closing quote may follow."""
        *_, last = [None, *(self._inside or self._grammar.outside).pattern.finditer(text, start)]
        return min(end, last.start()) if last and last.end() == len(text) else end
