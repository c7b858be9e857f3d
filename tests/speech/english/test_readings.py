"""Every digit of a text is accounted for in its reading."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import read

from parley.languages.english_numbers import cardinal, digits, ordinal, plural, year
from parley.speech.english.tables import MONTHS

TEMPLATES = """
    Call 0800 {3} {4}. | ({3}) {3}-{4} | dial {3} or {3} | +{2} {2} {4} {4} | PIN {4} | account {4} {4} {4}
    ext. {2} | -${2}.{c} | −€{2} | ${2}–${3} | ${2} - ${3} | £{1}.{c}–£{2}.{c} | USD {2} | {2}-{3} EUR
    ${2}.{c}/month | {2}k USD/yr | {2}/week | €{2}/night | {2} GHz | {2}-{3} °C | {2}x{2} cm | {2} x {2} x {3} mm
    {3} Mbit/s | {2}% | {2} kg/m³ | {2}fps | 20{c}-1{o}-2{o}T1{o}:3{o}:00Z | Mon-Fri {h}-{h} | {h}am-{h}pm
    {h}:3{o} p.m. | due {h}/2{o} | {h}/1{o}/20{c} | Dec {h} | Tue. {h}am | May 2{o}, 19{c} | {h} Nov 20{c}
    {2}:{1} | {1}-{1} | {2} to {2} | rated {1}.{1}/5 | 1/{h} | {2} 3/4 cups | {3} Elm St. | {3} S {2}th St.
    Apt. {2}, ZIP {5} | IL {5} | v{1}.{1}.{1} | version {2}.{1} | {2}.{1}.{1}-rc{1} | MX-{3}B | XK{1}-{2}QZ | A{2}
    #{2} | No. {2} | pp. {2}-{3} | under {2}s | the 19{1}0s | {2}th | *{2} | *#{2}# | *{2}*{3}# | Ctrl+{1} | F{2}
    x <= {2} | >={2} | ~{2} | {3}+{2}={3} | {1}e{1} | 10^{2} | a{1}@b{2}.com | foo.com/{4} | f{2}.pdf
    {1}'{h}" tall | {2}" screen | {2},{3} | 1{o}.{3}.{3} | {3}.{3} | seat {2}C | {1}th-{2}th | {2}/7 | {4}-{4}
    {2}m | {2} of {3} | {2}'{3} kg | CHF {2}'{3}.{c} | {2}.{3} € | €{2},- | ~${2} | >€{2}k | USD{2}.{c}
    CAD {2} million | #{5}-B | {4}-AX | {3}-TAXI | Part # {4}-C | x{4} | (at {3}) | ({1}-{1} then) | {2},{1} %
    {1},{c} kg | {2}½ tsp
    a {3} GB disk | the TV is {2}" and | {2}' x {2}' | M–Th {h}-{h} | {h} Dec {h}–1{o} | 20{c}–Jan {h} | No.{2}
    pp.{2}-{3} | {1}L/{3}km | {1}★ | {1}/{1}-inch | oven at {3}C | {2} × {3} mm | TX {5} | order no. {4} is
    """.replace("\n", "|").split("|")


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Return a text with numbers, as one of the templates has them."""
    template = draw(st.sampled_from([one.strip() for one in TEMPLATES if one.strip()]))
    kinds = {"c": (10, 99), "h": (2, 11), "o": (1, 2)}

    def number(match: re.Match[str]) -> str:
        low, high = kinds.get(match[1]) or (10 ** (int(match[1]) - 1) + 1, 10 ** int(match[1]) - 1)
        return str(draw(st.integers(low, high)))

    return re.sub(r"\{(\w)\}", number, template)


def forms(written: str) -> Iterator[str]:
    """Yield the ways to say a run of digits."""
    number = int(written)
    yield from (digits(written), cardinal(number), plural(cardinal(number)), plural(year(number)))
    yield from (year(number), f"oh {cardinal(number)}", ordinal(number), f"{ordinal(number)}s")
    if 1 <= number <= 12:
        yield MONTHS[number - 1]
    yield from {2: ("half",), 4: ("quarter", "quarters")}.get(number, ())
    # Longer runs are said in parts: "B twelve thirty-four", four by four.
    if len(written) > 3:
        yield f"{cardinal(int(written[:2]))} {cardinal(int(written[2:]))}"


def missing(written: str, spoken: str) -> list[str]:
    """Return the runs of digits of a text that are not in its reading."""
    words = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", written)
    found = f" {re.sub(r'[^A-Za-z]+', ' ', spoken)} "
    runs = [run.lstrip("0") or "0" for run in re.findall(r"\d+", words) if run.strip("0")]
    return [run for run in runs if not any(f" {form.replace('-', ' ')} " in found for form in forms(run))]


@pytest.mark.row("RB-03")
@settings(max_examples=500)
@given(texts())
def test_every_digit_is_accounted_for(text: str) -> None:
    spoken = read(text)

    assert not missing(text, spoken), f"{text} -> {spoken}"
    assert not re.search(r"\d|None", spoken)
