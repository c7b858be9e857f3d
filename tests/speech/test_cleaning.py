"""Text for a platform's voice: what is taken out, wherever the text is cut, and what stays byte for byte."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.speech.cleaning import Cleaner, cleaned

PAGE = (Path(__file__).parents[2] / "docs" / "speech.md").read_text()
ROWS = [
    tuple(cell.replace("\\|", "|").replace("⏎", "\n") for cell in found)
    for found in re.findall(r"^\| `(.+)` \| `(.+)` \|$", PAGE.partition("## What becomes of what")[2], re.MULTILINE)
]


def spoken(pieces: list[str], level: str = "speech") -> str:
    cleaner = Cleaner(level)
    return "".join([*map(cleaner.feed, pieces), cleaner.rest()])


def check(written: str, said: str, level: str = "speech") -> None:
    """Check a text in one piece, cut at every position, and in pieces of some lengths."""
    assert spoken([written], level) == said
    for at in range(len(written)):
        assert spoken([written[:at], written[at:]], level) == said, at
    for size in (1, 2, 3, 7):
        assert spoken([written[at : at + size] for at in range(0, len(written), size)], level) == said, size


@pytest.mark.row("SP-01")
@pytest.mark.parametrize(("written", "said"), ROWS, ids=range(len(ROWS)))
def test_the_page_tells_what_becomes_of_what(written: str, said: str) -> None:
    check(written, said)


FURTHER = [
    ("a ```py\nx = 1\n``` b", "a b"),
    ("````md\n```py\nx\n```\n````\nDone", "Done"),
    ("~~~\ncode\n~~~\nDone", "Done"),
    ("<tool_call>{}</tool_call>Yes", "Yes"),
    ("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>", "Yes."),
    ("Use `**kwargs` and ``a`b``", "Use **kwargs and ab"),
    ("[![badge](i.png)](https://x.y) [**bold**](u 'title')", "badge bold"),
    ("这是**重点**内容", "这是重点内容"),
    ("# A\r\n- b\r\n\r\nc\r\n", "A.\r\nb.\r\n\r\nc\r\n"),
    ("> - a\n> b\n>\n> # c", "a.\nb\n\nc."),
    ("- [ ] task\n* * *\nx", "[ ] task.\nx"),
    ("a\n| x | | y! |\n\nb", "a\nx, y!\n\nb"),
    ("Wow!\n![](x)[laughs](not really) ok", "Wow!\n[laughs](not really) ok"),
    ("👍🏽 ok ❤️‍🔥 ✔️ fine ©", "ok fine ©"),
    ("[^1]: A note", "A note"),
    ("(https://en.wikipedia.org/wiki/A_(b)), **https://x.com**", "(en.wikipedia.org), x.com"),
    ("\\[1\\] \\# \\_x\\_ \\[ a_1 \\]", "[1] # _x_ \\[ a_1 \\]"),
    ("|a|b|\n|-|-|\n|1|2|\n", "a, b.\n1, 2.\n"),
    ("_“Hi”_ to __all__ of **$5** (_x_), $}_i$", "“Hi” to all of $5 (x), $}_i$"),
    ('- He said "yes."\n- (a)\n- (b!)\n- c\n', 'He said "yes."\n(a).\n(b!)\nc.\n'),
    ("x<p>y</p> <td class='a'>z", "x y z"),
]


@pytest.mark.row("SP-01")
@pytest.mark.parametrize(("written", "said"), FURTHER, ids=range(len(FURTHER)))
def test_markup_as_models_write_it(written: str, said: str) -> None:
    check(written, said)


@pytest.mark.row("SP-01")
@pytest.mark.parametrize("level", ["thoughts", "speech"])
@pytest.mark.parametrize("tag", ["think", "thinking", "thought", "reasoning"])
def test_thoughts_go_at_both_levels(level: str, tag: str) -> None:
    check(f"<{tag}>Hm\n[1]</{tag}>\n\nYes", "Yes", level)
    check("[THINK]Hm[/THINK]Yes <flush />", "Yes <flush />", level)
    check("Hm.</think>Yes", "Hm.Yes", level)
    assert cleaned("Hm.</think>Yes", level) == "Yes"


def test_the_level_of_thoughts_leaves_all_markup() -> None:
    check("# **a** [x](y) 😀 <br> `<b>` ```c``` &amp; &", "# **a** [x](y) 😀 <br> `<b>` ```c``` &amp; &", "thoughts")


PLAIN = [
    "We open at nine o'clock, Mr. Smith - don't we? It's 5 % (or so): $5.99; #1 \"yes\"...",
    "Wir öffnen um neun Uhr – größer als 3 & kleiner.",
    "¿Abrís a las nueve? ¡Sí, señora!",
    "Nous ouvrons à neuf heures ; c'est « sûr ».",
    "Apriamo alle nove, perché no?",
    "Às nove horas, não é?",
    "Мы открываемся в девять.",
    "نفتح الساعة التاسعة، أليس كذلك؟",
    "می‌خواهم کتاب‌ها را ببینم\u200d، مگر نه؟",  # noqa: RUF001 - Persian
    "हम नौ बजे खोलते हैं। क्\u200dष क्ष",
    "我们九点开门。好吗？【重要】",
    "九時に開きます。「はい」",
    "2*3*4 a_b_c C# F* I <3 you I <b x <y and z> w [laughs] <emotion value='sad'/> $x_1 + y^2$ \\frac{1}{2} half a | b",
]


@pytest.mark.row("SP-02")
@pytest.mark.parametrize("text", PLAIN, ids=range(len(PLAIN)))
def test_plain_text_stays_as_it_is(text: str) -> None:
    check(text, text)
    if "<" in text:
        return
    # Words leave at once, and as they came; marks that may begin markup wait for the next piece.
    cleaner = Cleaner("speech")
    for word in re.findall(r"\s*\S+", text):
        if not word.endswith(("!", "&")):
            assert cleaner.feed(word) == word


@pytest.mark.row("SP-03")
@pytest.mark.parametrize(
    ("written", "said"),
    [
        *(
            (f"Yes {end}", f"Yes {end}")
            for end in ("[", "[a", "[a]", "<", "<b", "!", "![", "https", "https://", "&", "&am")
        ),
        *(("Yes " + end, "Yes ") for end in ("**", "```", "```py\nx", "<think>", "<think>a")),
        ("Yes [a](http", "Yes [a](http"),
        ("Yes https://a.b/c", "Yes a.b"),
        ("- Yes", "Yes."),
        ("| Yes |", "Yes."),
        ("\\", "\\"),
        ("-", ""),
    ],
)
def test_what_is_text_comes_out_at_the_end(written: str, said: str) -> None:
    check(written, said)


BITS = [
    *"*_`~[]()<>!&#|-+=.\n \\:/ab1\r\t【】†😀\ufe0f\u200d\u20e3©h",
    *("**", "```", "~~~", "<think>", "</think>", "<b>", "<br/>", "</a>", "https://a.b/c ", "](u)", "[x](", "&amp;"),
    *("- ", "# ", "| ", "---", "<sup>1</sup>", "[1]", "<tool_call>", "</tool_call>", '<a href="x">', "http", "x "),
]


@pytest.mark.row("SP-04")
@settings(max_examples=10_000 // 25, deadline=None)
@given(st.lists(st.lists(st.sampled_from(BITS), max_size=40), min_size=25, max_size=25), st.sampled_from([1, 2, 3, 7]))
def test_a_stream_says_what_the_whole_says(texts: list[list[str]], size: int) -> None:
    for text in map("".join, texts):
        whole, cleaner, left, came = spoken([text]), Cleaner("speech"), "", 0
        for at in range(0, len(text), size):
            piece = text[at : at + size]
            came += len(piece)
            left += cleaner.feed(piece)
        assert left + cleaner.rest() == whole, text
        assert len(whole) <= len(text) + 2 * text.count("|") + text.count("\n") + 1


@pytest.mark.row("SP-04")
@pytest.mark.parametrize(
    "begun", ["[", "[a](", "<b ", "https://", "【1", "*", "`", "-", "|-", "<a href='", "&", "[a](u '"]
)
def test_little_is_held_back(begun: str) -> None:
    cleaner = Cleaner("speech")
    left = cleaner.feed(f"Yes {begun}") + "".join(cleaner.feed("x") for _ in range(5000))

    assert len(left) >= 900 or begun == "https://"
    assert 5000 - len(left) <= 4096 or begun == "https://"
