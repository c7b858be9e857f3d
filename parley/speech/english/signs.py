"""Signs between words: keys, star codes, slashes, comparisons, arrows."""

import re

from parley.languages.english_numbers import digits
from parley.speech.english.amounts import per_unit
from parley.speech.english.tables import DAY_OF, LETTER_DAYS, MONTH_OF, PER, SIGNS, UNITS
from parley.speech.normalization import Around, Rules

KEYS = {"ctrl": "Control", "cmd": "Command", "alt": "Alt", "shift": "Shift", "win": "Windows", "esc": "Escape"}
KEYS |= {"del": "Delete", "ins": "Insert", "pgup": "Page Up", "pgdn": "Page Down", "fn": "Function", "opt": "Option"}
PRESSING = frozenset("press pressing hit hold tap key keys keyboard release".split())  # noqa: SIM905
"""Words beside a key that stands alone."""
GRADED = frozenset("grade grades graded rated rating blood type score got".split())  # noqa: SIM905
"""Words beside a letter with a minus behind it."""
KEYS |= {"⌘": "Command", "⌥": "Option", "⇧": "Shift", "⌃": "Control", "control": "Control", "option": "Option"}
MODIFIERS = "Ctrl|Control|Cmd|Command|Alt|Shift|Win|Opt|Option|Fn|Super|Meta"
TIMES = frozenset("second minute hour day night week month quarter year person".split())  # noqa: SIM905
"""Words behind a slash: "7 days/week"."""
rules = Rules()


@rules.add(r"([^\W\d_]\w*)(<=|>=|!=|==|->|=>|[<>=≠≤≥→])([^\W\d_]\w*)", words=True)
def read_comparison(match: re.Match[str], around: Around) -> str:
    """Read "a<=b"."""
    first, second = (around.read(match[number]) or match[number] for number in (1, 3))
    return f"{first} {SIGNS[match[2]]} {second}"


@rules.add(r"[*#]+\d[\d*#]*|\d[\d*#]*[*#]|\*#|#\*")
def read_star_code(match: re.Match[str], _around: Around) -> str | None:
    """Read "*67" and "##002#", but not "#3"."""
    if re.fullmatch(r"#\d+", match[0]):
        # "#3" is a number, not a key.
        return None
    names = {"*": "star", "#": "pound"}
    return " ".join(names.get(one) or digits(one) for one in match[0])


@rules.add(r"[*#]", words=True)
def read_key_of_telephone(match: re.Match[str], around: Around) -> str:
    """Read the keys in "press * or #"; a star between two numbers is a product."""
    if match[0] == "*" and around.before[-1:].isdigit() and around.after[:1].isdigit():
        return "times"
    if match[0] == "#" and around.after[:1].isdigit() and not around.sentence & {*PRESSING, "dial", "enter"}:
        return "number"
    return "star" if match[0] == "*" else "pound"


@rules.add(rf"(?:{MODIFIERS})(?:[-+][\w⌘]+)+|[A-Za-z]+(?:\+[A-Za-z0-9]+)+", re.IGNORECASE, words=True)
def read_keys(match: re.Match[str], around: Around) -> str:
    """Read "Ctrl+C" and "Ctrl-Alt-Del"."""
    keys = re.split(r"[-+]", match[0])
    return " plus ".join(KEYS.get(key.lower()) or around.read(key) or key for key in keys)


@rules.add(rf"{'|'.join(key for key in KEYS if len(key) > 2 and key != 'win')}", re.IGNORECASE, words=True)
def read_key(match: re.Match[str], around: Around) -> str | None:
    """Read the key in "Press Esc"."""
    is_sure = match[0] in ("Esc", "Ctrl", "Cmd", "PgUp", "PgDn")
    return KEYS[match[0].lower()] if is_sure or (match[0][0].isupper() and around.sentence & PRESSING) else None


@rules.add(r"[⌘⌥⇧⌃](?:\+[\w⌘⌥⇧⌃]+)+", words=True)
def read_joined_keys(match: re.Match[str], around: Around) -> str:
    """Read "⌘+K"."""
    return " plus ".join(KEYS.get(key) or around.read(key) or key for key in match[0].split("+"))


@rules.add(r"(A|B|AB|O|C|D|E|F)([+-])", words=True)
def read_grade(match: re.Match[str], around: Around) -> str | None:
    """Read "blood type O+" and "grade B-"."""
    if match[2] == "-" and not around.sentence & GRADED:
        return None
    return f"{match[1]} {'plus' if match[2] == '+' else 'minus'}"


@rules.add(r"[A-Z][ahu]?(?:/[A-Z][ahu]?)+", words=True)
def read_letters(match: re.Match[str], _around: Around) -> str | None:
    """Read "S/M/L" and "A/B" as letters, "M/W/F" and "T/Th" as days."""
    letters = match[0].split("/")
    if set(letters) <= LETTER_DAYS.keys() and (set(letters) & {"W", "F", "Th", "Tu"}):
        *head, last = (LETTER_DAYS[one] for one in letters)
        return f"{', '.join(head)} and {last}"
    return match[0].replace("/", " ") if all(map(str.isupper, letters)) else None


@rules.add(r"([⌘⌥⇧⌃]+)(\w+)", words=True)
def read_apple_keys(match: re.Match[str], around: Around) -> str:
    """Read "⌘C"."""
    return " ".join([*(KEYS[key] for key in match[1]), around.read(match[2]) or match[2]])


@rules.add(r"/", words=True)
def read_slash(_match: re.Match[str], around: Around) -> str:
    """Read a slash that stands alone: "$5 / month", "6 / 2 = 3", "yes / no"."""
    if around.before[-1:].isdigit() and (around.after in UNITS or per_unit(around.after)):
        return "per"
    is_sum = around.before[-1:].isdigit() and around.after[:1].isdigit()
    return ("divided by" if "=" in around.sentence else "over") if is_sum else "or"


@rules.add(r"[A-Za-zÀ-ÿ-]{2,}(?:/[A-Za-zÀ-ÿ-]{2,})+", words=True)
def read_alternatives(match: re.Match[str], around: Around) -> str:
    """Read "Mon/Wed/Fri", "yes/no" and "TCP/IP"."""
    words = match[0].split("/")
    if len(words) == 2 and (words[1] in TIMES or words[1] in PER) and around.before[-1:].isdigit():
        return f"{words[0]} per {PER.get(words[1], words[1])}"
    names = [DAY_OF.get(word.lower()) or MONTH_OF.get(word.lower()) for word in words if word[0].isupper()]
    if len(names) == len(words) and all(names):
        *head, last = map(str, names)
        return f"{', '.join(head)} and {last}"
    # Of capitals one thing is made, of words one is chosen.
    joint = " or " if all(word.islower() for word in words[1:]) else " "
    return joint.join(around.read(word) or word for word in words)
