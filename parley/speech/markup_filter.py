"""Parts of a streamed answer that are not said: thoughts in every family's markup, tool calls, code, special tokens.

    outside --- opening of a block ---> inside, depth 1 --- its closing, depth 0 ---> outside
       |                                  |  an opening of the same kind: depth + 1
       |                                  +- end of the text: nothing of the block is said; if it was opened twice and
       |                                     closed once, what stands behind that closing is
       +--- closing of a thought without its opening: all text before it was thought, and is retracted

The tables are the only list of such markup: a new family is one line. Markup within a clause (Markdown, HTML, links)
is the business of `speech_text`.
"""

import re
from typing import NamedTuple

THOUGHT_TAGS = """
    think thinking thoughts? antthinking reasoning reason reflection reflect scratchpad monologue brainstorm analysis
    planning cot deliberation judge internal 思考
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
"""Names of tags around thoughts, as patterns. A prefix or suffix may be added: `seed:think`, `inner_thoughts`."""
MACHINE_TAGS = "tool_calls? function_calls? tool_responses?".split()  # noqa: SIM905
"""Names of tags around texts for programs."""


THOUGHT_TOKENS = "think thinking thoughts? reasoning".split()  # noqa: SIM905
"""Names in special tokens: `<|START_THINKING|>` (Cohere), `<|begin_of_thought|>` (OpenThinker), `<|think|>` (Solar)."""


class Block(NamedTuple):
    """A kind of block that is not said. All strings are literal, in any case.

    `openings` and `closings` surround the block; the strings of `until` end it as well, but belong to the text behind
    it. A closing of a thought without its opening tells that the prompt held the opening. Blocks that `lead` open only
    at the beginning of a line or a sentence, because their openings are ordinary words.
    """

    openings: tuple[str, ...]
    closings: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    is_thought: bool = True
    leads: bool = False


BLOCKS = (
    # Mistral, Magistral
    Block(
        ("[think]", "[reasoning]"),
        ("[/think]", "[/thinking]", "[/thought]", "[/thoughts]", "[/reasoning]"),
    ),
    Block(("◁think▷",), ("◁/think▷",)),  # Kimi
    Block(("<|open|>think<|sep|>",), ("<|close|>think<|sep|>",), ("<|open|>response",)),  # Kimi K3
    Block(("<|start_action|>",), ("<|end_action|>",), is_thought=False),  # Cohere
    Block(("<|inner_prefix|>",), ("<|inner_suffix|>",)),  # Apertus
    Block(("<|channel>thought", "<|channel>analysis"), ("<channel|>",)),  # Gemma
    Block(("<|tool_call>",), ("<tool_call|>",), is_thought=False),
    Block(("<|content_thinking|>",), ("<|end_message|>",), ("<|content_text|>",), is_thought=False),  # Inkling
    Block(("[unused16]",), ("[unused17]",)),  # Pangu
    Block(("<|im_start|>assistant/think",), ("<|im_end|>",), is_thought=False),  # HyperCLOVA X
    Block(("<unused94>thought", "<unused94>"), ("<unused95>",)),  # MedGemma
    # Granite
    Block(
        ("here is my thought process:", "here's my thought process:"),
        ("here is my response:", "here's my response:"),
        is_thought=False,
        leads=True,
    ),
    # GPT-OSS. A comment for a tool names its recipient; other comments are meant for the listener.
    Block(
        (
            *("<|channel|>analysis", "<|channel|>commentary to=", "<|start|>assistant to=self"),
            *(
                "<|start|>functions.",
                "<|start|>browser",
                "<|start|>python",
                "<|start|>assistant to=functions",
                "<|start|>assistant to=browser",
                "<|start|>assistant to=python",
            ),
        ),
        ("<|end|>", "<|return|>", "<|call|>", "<|eom|>", "<|eot|>"),
        ("<|start|>", "<|channel|>final"),
        is_thought=False,
    ),
    # The same behind a server that leaves special tokens out: "analysisThe user asks ... assistantfinalWe are open".
    Block(("analysis",), ("assistantfinal",), is_thought=False, leads=True),
    Block(("<|tool_calls_section_begin|>",), ("<|tool_calls_section_end|>",), is_thought=False),  # Kimi
    Block(("<｜tool▁calls▁begin｜>",), ("<｜tool▁calls▁end｜>",), is_thought=False),  # DeepSeek
    Block(("<｜dsml｜function_calls>",), ("</｜dsml｜function_calls>",), is_thought=False),
    Block(("<｜dsml｜tool_calls>",), ("</｜dsml｜tool_calls>",), is_thought=False),
    Block(("<function=",), ("</function>",), is_thought=False),  # Llama
    # Thoughts as a reader folds them out, in front-ends and proxies.
    Block(
        tuple(
            f"<details>{blank}<summary>{word}"
            for blank in ("", "\n")
            for word in ("thinking", "thought", "reasoning", "💭", "🤔", "🧠")
        ),
        ("</details>",),
        is_thought=False,
    ),
    Block(("## thinking\n", "### thinking\n"), ("## final response\n",), is_thought=False, leads=True),  # HuatuoGPT
    Block(("[tool_calls]", "<|python_tag|>"), is_thought=False),  # Mistral, Llama: to the end of the answer
    Block(("```",), ("```",), is_thought=False),
    Block(("~~~",), ("~~~",), is_thought=False, leads=True),
)
BREAKS = (
    *("<flush/>", "<flush />", "<br>", "<br/>", "<br />"),
    *("<|start|>assistant to=user", "<|start|>assistant", "<|channel|>final", "<|channel|>commentary", "<|end|>"),
    *("<|im_start|>assistant", "<|im_end|>", "<|start_header_id|>assistant<|end_header_id|>", "[unused10]"),
    *("<|begin|>assistant<|content|>", "<|begin|>assistant", "<think_on>", "<think_off>", "[e~[", "]~b]ai"),
    *("<start_of_turn>model", "<end_of_turn>", "<|turn>model", "<turn|>"),
    *("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|open|>message<|sep|>", "<|close|>message<|sep|>"),
)
"""Markup that parts two clauses, and is not said."""

_FLAGS = re.IGNORECASE | re.MULTILINE
_LESS, _GREATER = "(?:<|&lt;)", "(?:>|&gt;)"
ATTRIBUTES = r"""(?:\s+[\w:.-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>/]+))*\s*"""
"""Attributes of a tag."""
_LEAD = r"(?:^|(?<=[.!?…]\s))"
_LEADS = re.compile(_LEAD, _FLAGS)
"""The beginning of a line or a sentence."""
_SPECIAL_TOKEN = r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>"
_TAG_BEGUN = re.compile(
    rf"""(?:<|&(?:l(?:t;?)?)?)(?:/?[\w:|*]{{0,60}}|/?[a-z][\w:|*]{{0,60}}{ATTRIBUTES}"""
    r"""(?:\s[\w:.-]+\s*(?:=\s*(?:"[^"<>]*|'[^'<>]*|[^\s"'<>]*))?)?/?\s*(?:&(?:g(?:t)?)?)?)\Z"""
    r"|<[|｜][^<>|｜\s]{0,40}[|｜]?\Z",
    _FLAGS,
)
"""The end of a text, if it may be the beginning of a tag or a special token."""
_LONGEST_TAG = 300
"""Limit on a tag with its attributes, in characters."""
_QUOTES = "`\"'“‘’”"
"""Marks around a tag that is spoken of, not used."""


def tags(names: list[str], slash: str = "") -> str:
    """Return the pattern of the opening tags with these names, or, with `slash`, of their closing tags."""
    # KAT's `<think_on>` is no tag.
    name = rf"(?:[a-z]+[:|_]){{0,2}}(?:{'|'.join(names)})(?!_o(?:n|ff)\b)(?:[:_][a-z0-9]+){{0,4}}\*?"
    return rf"{_LESS}{slash}{name}{ATTRIBUTES}{_GREATER}"


def literal(strings: tuple[str, ...], *, leads: bool = False) -> str:
    """Return the pattern of any of these strings, longer ones first; a bare word must be glued to a capital."""
    patterns = [re.escape(one) + ("(?-i:(?=[A-Z]))" if one.isalpha() else "") for one in sorted(strings)[::-1]]
    return f"{_LEAD if leads else ''}(?:{'|'.join(patterns)})" if patterns else "(?!)"


class _Scope:
    """A state of the filter: the markup that matters in it, also where it has only begun.

    `strings` may begin anywhere, `leading` ones at the beginning of a line or a sentence. `reach` is the most
    characters at the end of a text in which markup may have begun.
    """

    def __init__(self, pattern: str, strings: tuple[str, ...] = (), leading: tuple[str, ...] = ()) -> None:
        self.pattern = re.compile(pattern, _FLAGS)
        self._begun = {text[:size] for text in strings for size in range(1, len(text) + text.isalpha())}
        self._begun_leading = {text[:size] for text in leading for size in range(1, len(text) + text.isalpha())}
        self._longest = max(map(len, (*strings, *leading)), default=0)
        self.reach = max(self._longest, _LONGEST_TAG)

    def begun(self, text: str, start: int) -> int:
        """Return where markup may have begun whose rest has not come yet; the length of the text if nowhere."""
        tag = _TAG_BEGUN.search(text, max(start, len(text) - _LONGEST_TAG))
        end = tag.start() if tag else len(text)
        for at in range(max(start, len(text) - self._longest), end):
            tail = text[at:].lower()
            if tail in self._begun or (tail in self._begun_leading and _LEADS.match(text, at)):
                return at
        return end


def _inside(opening: str, closing: str, until: str = "(?!)", strings: tuple[str, ...] = ()) -> _Scope:
    return _Scope(f"(?P<end>{closing})|(?P<until>{until})|(?P<open>{opening})", strings)


_TOKEN_NAME = f"(?:{'|'.join(THOUGHT_TOKENS)})"
_TOKEN = rf"<\|(?:(?:start|begin)_(?:of_)?)?{_TOKEN_NAME}(?:_start|_begin)?\|>"
_TOKEN_CLOSING = rf"<\|(?:/{_TOKEN_NAME}|end_(?:of_)?{_TOKEN_NAME}|{_TOKEN_NAME}_end)\|>"
_TOKEN_OF_ANSWER = r"<\|(?:start|begin)_(?:of_)?(?:response|text|action|solution|answer)\|>"
_REASONING = r"<details\s[^<>]*type\s*=\s*[\"']?reasoning[^<>]*>"
_OPENINGS = (
    tags(THOUGHT_TAGS),
    tags(MACHINE_TAGS),
    _TOKEN,
    _REASONING,
    *(literal(block.openings, leads=block.leads) for block in BLOCKS),
)
_INSIDE = (
    _inside(_OPENINGS[0], tags(THOUGHT_TAGS, "/")),
    _inside(_OPENINGS[1], tags(MACHINE_TAGS, "/")),
    _inside(_TOKEN, _TOKEN_CLOSING, f"{_TOKEN_OF_ANSWER}|<[|]begin[|]>assistant", ("<|begin|>assistant",)),
    _inside(_REASONING, "</details>"),
    *(
        _inside(literal(block.openings), literal(block.closings), literal(block.until), sum(block[:3], ()))
        for block in BLOCKS
    ),
)
"""The state inside of each kind of block, in the order of `_OPENINGS`."""
_ORPHANS = tuple(closing for block in BLOCKS if block.is_thought for closing in block.closings)
_LEADING = {len(_OPENINGS) - len(BLOCKS) + number for number, block in enumerate(BLOCKS) if block.leads}
_NAMED = [f"(?P<kind{number}>{opening})" for number, opening in enumerate(_OPENINGS)]
_OUTSIDE = _Scope(
    # perf: saves two thirds of the search (1.9 MB of text): most characters begin nothing.
    r"(?=[<\[◁&`])(?:"
    + "|".join(named for number, named in enumerate(_NAMED) if number not in _LEADING)
    + f"|(?P<orphan>{tags(THOUGHT_TAGS, '/')}|{_TOKEN_CLOSING}|{literal(_ORPHANS)})"
    + f"|(?P<cut>{literal(BREAKS)})|(?P<token>{_SPECIAL_TOKEN}))|"
    + "|".join(_NAMED[number] for number in sorted(_LEADING)),
    (*_ORPHANS, *BREAKS, *(text for block in BLOCKS if not block.leads for text in block.openings)),
    tuple(text for block in BLOCKS if block.leads for text in block.openings),
)


class MarkupFilter:
    """Passes a streamed text on without what is not said, wherever its pieces are cut.

    `retracted` is true behind a call that has found that all text before, passed on or not, was thought.
    """

    def __init__(self) -> None:
        self.retracted = False
        self._held = ""
        self._last = ""
        self._inside: _Scope | None = None
        self._depth = 0
        self._block_is_empty = False
        self._behind_closing: list[str] | None = None

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
        rest = MarkupFilter()
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
            if match.lastgroup == "orphan":
                passed.clear()
                self.retracted = True
            else:
                passed.append(head)
            # The line break parts the text before a block from the text behind it.
            self._last = " " if match.lastgroup == "token" else "\n"
            passed.append(self._last)
            if match.lastgroup and match.lastgroup.startswith("kind"):
                self._inside = _INSIDE[int(match.lastgroup[4:])]
                self._depth, self._block_is_empty, self._behind_closing = 1, True, None
        return "".join(passed) + self._rest(at_end=at_end)

    def _next(self, *, at_end: bool) -> re.Match[str] | None:
        """Return the next markup that is complete, None if there is none yet."""
        scope = self._inside or _OUTSIDE
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
        end = len(text) if at_end else self._quoted(text, (self._inside or _OUTSIDE).begun(text, start), start)
        rest, self._held = text[start:end], text[end:]
        self._last = (self._last + rest)[-2:]
        if self._inside is not None:
            self._drop(rest)
            return ""
        return rest

    def _quoted(self, text: str, end: int, start: int) -> int:
        """Return `end`, or where a quoted tag begins whose closing quote may follow."""
        *_, last = [None, *(self._inside or _OUTSIDE).pattern.finditer(text, start)]
        return min(end, last.start()) if last and last.end() == len(text) else end
