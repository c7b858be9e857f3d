"""Red flags in a passage: keys and passwords, instructions to the model, links that could carry data away.

The patterns are neither complete nor always right: a hint for the operator. No passage is left out because of one.
"""

import re

from parley.knowledge.documents import Passage

KEY = "looks like a key or password"
"""Flag of a passage that holds a secret: the one flag that `flask kb check` counts as an error."""

_PATTERNS = {
    KEY: re.compile(
        r"\b(?:sk|pk|rk|gsk|xai)-[A-Za-z0-9_-]{16,}"
        r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[\w-]{35}"
        r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
        r"|\b(?:api[_ -]?key|secret|password|passwd)\b\s{0,3}[:=]\s{0,3}[^\s,;]{8,}",
        re.IGNORECASE,
    ),
    "addresses the model": re.compile(
        r"\b(?:ignore|disregard|forget)\b.{0,30}\b(?:previous|prior|above|earlier|all|your)\b.{0,20}"
        r"\b(?:instructions?|prompts?|rules?)\b"
        r"|\bsystem prompt\b|\byou are now\b|\bnew instructions\s*:"
        r"|<\|[^|>\n]{1,40}\|>|\[/?INST\]|<</?SYS>>",
        re.IGNORECASE,
    ),
    # A model that reads such a link out, or a client that loads it, could send a caller's words to a stranger's server.
    "holds a link with a query, which could carry a caller's words away": re.compile(r"\bhttps?://[^\s?#]+\?\S"),
}

# Every match of a pattern holds one of these, once its letters are small. A new pattern needs its hints here.
_HINTS = (
    *("sk-", "pk-", "rk-", "xai-", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox", "aiza"),
    *("private key", "api", "secret", "passw"),
    *("ignore", "disregard", "forget", "system prompt", "you are now", "new instructions", "<|", "inst]", "sys>>"),
    "://",
)


def red_flags(passage: Passage) -> list[str]:
    """Return the flags of a passage, in words that quote nothing of its text."""
    text = f"{passage.title}\n{passage.text}"
    small = text.casefold()
    # perf: saves 130 µs (a passage of 700 characters without a hint)
    if not any(hint in small for hint in _HINTS):
        return []
    return [name for name, pattern in _PATTERNS.items() if pattern.search(text)]
