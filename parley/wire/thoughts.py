"""The marks around thoughts in the text of an answer, by families of models, and around what else is not said.

One table for those who speak a text (`speech/markup_filter.py`) and those who look for its first word (`heard.py`): a
new family is one line of `THOUGHT_TAGS`, `THOUGHT_TOKENS` or `THOUGHT_BLOCKS`.
"""

import re
from typing import NamedTuple

PART_TYPE = re.compile("think|thought|reason", re.IGNORECASE)
"""Matches the type of a part of a content that holds thoughts (Mistral: "thinking")."""
THOUGHT_TAGS = """
    think thinking thoughts? antthinking reasoning reason reflection reflect scratchpad monologue brainstorm analysis
    planning cot deliberation judge internal 思考
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
"""Names of tags around thoughts, as patterns. A prefix or suffix may be added: `seed:think`, `inner_thoughts`."""
THOUGHT_TOKENS = "think thinking thoughts? reasoning".split()  # noqa: SIM905
"""Names in special tokens: `<|START_THINKING|>` (Cohere), `<|begin_of_thought|>` (OpenThinker), `<|think|>` (Solar)."""


class Block(NamedTuple):
    """A kind of block that is not said. All strings are literal, in any case.

    `openings` and `closings` surround the block; the strings of `until` end it as well, but belong to the text behind
    it. With `closing_retracts` a closing without its opening tells that the prompt held the opening. Blocks that `lead`
    open only at the beginning of a line or a sentence, because their openings are ordinary words.
    """

    openings: tuple[str, ...]
    closings: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    closing_retracts: bool = True
    leads: bool = False


THOUGHT_BLOCKS = (
    # Mistral, Magistral
    Block(
        ("[think]", "[reasoning]"),
        ("[/think]", "[/thinking]", "[/thought]", "[/thoughts]", "[/reasoning]"),
    ),
    Block(("◁think▷",), ("◁/think▷",)),  # Kimi
    Block(("<|open|>think<|sep|>",), ("<|close|>think<|sep|>",), ("<|open|>response",)),  # Kimi K3
    Block(("<|inner_prefix|>",), ("<|inner_suffix|>",)),  # Apertus
    Block(("<|channel>thought", "<|channel>analysis"), ("<channel|>",)),  # Gemma
    Block(("<|content_thinking|>",), ("<|end_message|>",), ("<|content_text|>",), closing_retracts=False),  # Inkling
    Block(("[unused16]",), ("[unused17]",)),  # Pangu
    Block(("<|im_start|>assistant/think",), ("<|im_end|>",), closing_retracts=False),  # HyperCLOVA X
    Block(("<unused94>thought", "<unused94>"), ("<unused95>",)),  # MedGemma
    # Granite
    Block(
        ("here is my thought process:", "here's my thought process:"),
        ("here is my response:", "here's my response:"),
        closing_retracts=False,
        leads=True,
    ),
    # GPT-OSS. A comment for a tool names its recipient; other comments are meant for the listener.
    Block(
        (
            *("<|channel|>analysis", "<|channel|>commentary to=", "<|start|>assistant to=self"),
            *("<|start|>assistant to=functions", "<|start|>assistant to=browser", "<|start|>assistant to=python"),
            *("<|start|>functions.", "<|start|>browser", "<|start|>python"),
        ),
        ("<|end|>", "<|return|>", "<|call|>", "<|eom|>", "<|eot|>"),
        ("<|start|>", "<|channel|>final"),
        closing_retracts=False,
    ),
    # The same behind a server that leaves special tokens out: "analysisThe user asks ... assistantfinalWe are open".
    Block(("analysis",), ("assistantfinal",), closing_retracts=False, leads=True),
    # Thoughts as a reader folds them out, in front-ends and proxies.
    Block(
        tuple(
            f"<details>{blank}<summary>{word}"
            for blank in ("", "\n")
            for word in ("thinking", "thought", "reasoning", "💭", "🤔", "🧠")
        ),
        ("</details>",),
        closing_retracts=False,
    ),
    # HuatuoGPT
    Block(("## thinking\n", "### thinking\n"), ("## final response\n",), closing_retracts=False, leads=True),
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

FLAGS = re.IGNORECASE | re.MULTILINE
_LESS, _GREATER = "(?:<|&lt;)", "(?:>|&gt;)"
ATTRIBUTES = r"""(?:\s+[\w:.-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>/]+))*\s*"""
"""Attributes of a tag."""
SPECIAL_TOKEN = r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>"
TAG_BEGUN = re.compile(
    rf"""(?:<|&(?:l(?:t;?)?)?)(?:/?(?:[^\W\d][\w:|*]{{0,60}})?|/?[a-z][\w:|*]{{0,60}}{ATTRIBUTES}"""
    r"""(?:\s[\w:.-]+\s*(?:=\s*(?:"[^"<>]*|'[^'<>]*|[^\s"'<>]*))?)?/?\s*(?:&(?:g(?:t)?)?)?)\Z"""
    r"|<[|｜][^<>|｜\s]{0,40}[|｜]?\Z",
    FLAGS,
)
"""The end of a text, if it may be the beginning of a tag or a special token."""
NEVER = "(?!)"
"""The pattern that matches nowhere."""


def tags(names: list[str], slash: str = "") -> str:
    """Return the pattern of the opening tags with these names, or, with `slash`, of their closing tags."""
    # KAT's `<think_on>` is no tag.
    name = rf"(?:[a-z]+[:|_]){{0,2}}(?:{'|'.join(names)})(?!_o(?:n|ff)\b)(?:[:_][a-z0-9]+){{0,4}}\*?"
    return rf"{_LESS}{slash}{name}{ATTRIBUTES}{_GREATER}"


def literal(strings: tuple[str, ...]) -> str:
    """Return the pattern of any of these strings, longer ones first; a bare word must be glued to a capital."""
    patterns = [re.escape(one) + ("(?-i:(?=[A-Z]))" if one.isalpha() else "") for one in sorted(strings)[::-1]]
    return f"(?:{'|'.join(patterns)})" if patterns else NEVER


class Marks(NamedTuple):
    """The patterns of one kind of block; see `Block`. `lone` is that of closings that retract.

    `strings` are the literal ones among them, to be recognised by their beginning.
    """

    opening: str
    closing: str
    until: str = NEVER
    lone: str = NEVER
    leads: bool = False
    strings: tuple[str, ...] = ()

    @classmethod
    def of(cls, block: Block) -> "Marks":
        """Return the marks of a row of the tables."""
        closing = literal(block.closings)
        return cls(
            literal(block.openings),
            closing,
            literal(block.until),
            closing if block.closing_retracts else NEVER,
            block.leads,
            (*block.openings, *block.closings, *block.until),
        )


_TOKEN_NAME = f"(?:{'|'.join(THOUGHT_TOKENS)})"
_TOKEN_CLOSING = rf"<\|(?:/{_TOKEN_NAME}|end_(?:of_)?{_TOKEN_NAME}|{_TOKEN_NAME}_end)\|>"
THOUGHTS = (
    Marks(tags(THOUGHT_TAGS), tags(THOUGHT_TAGS, "/"), lone=tags(THOUGHT_TAGS, "/")),
    Marks(
        rf"<\|(?:(?:start|begin)_(?:of_)?)?{_TOKEN_NAME}(?:_start|_begin)?\|>",
        _TOKEN_CLOSING,
        r"<\|(?:start|begin)_(?:of_)?(?:response|text|action|solution|answer)\|>|<\|begin\|>assistant",
        lone=_TOKEN_CLOSING,
        strings=("<|begin|>assistant",),
    ),
    Marks(r"<details\s[^<>]*type\s*=\s*[\"']?reasoning[^<>]*>", "</details>"),
    *map(Marks.of, THOUGHT_BLOCKS),
)
"""The marks of each kind of thought."""
