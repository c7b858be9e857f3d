"""What should not stand in a text that a model reads out: keys, and words addressed to the model.

Patterns, so neither complete nor always right: a hint for whoever keeps the knowledge. Nothing is kept out for it.
"""

import re

from parley.knowledge.documents import Passage

KEY = "looks like a key or password"

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
    "holds a link with a query, which could carry a caller's words away": re.compile(r"\bhttps?://[^\s?#]+\?\S"),
}

# What a text has in small letters that any of these patterns could find: looking for it takes a fiftieth of the time.
_HINTS = (
    *("sk-", "pk-", "rk-", "xai-", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox", "aiza"),
    *("private key", "api", "secret", "passw"),
    *("ignore", "disregard", "forget", "system prompt", "you are now", "new instructions", "<|", "inst]", "sys>>"),
    "://",
)


def red_flags(passage: Passage) -> list[str]:
    """What is odd about a passage, in words; nothing of its text."""
    text = f"{passage.title}\n{passage.text}"
    small = text.casefold()
    if not any(hint in small for hint in _HINTS):
        return []
    return [name for name, pattern in _PATTERNS.items() if pattern.search(text)]
