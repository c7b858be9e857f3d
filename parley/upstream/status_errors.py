"""The error for a failure that an upstream reports: by its HTTP status, or by an error inside of an answer.

Two questions are answered apart: may another upstream do better, and may the same one be asked again.

    status                    the caller sees            another upstream   the same again
    300 to 399                502                        no                 no
    400, 413, 422             the refusal, passed on     no                 no
    404                       the refusal, passed on     yes                no
    429                       the refusal, passed on     yes                yes
    401, 403                  502; with the caller's     yes; with the      no
                              own key passed on          caller's own: no
    402                       as 401                     as 401             no
    408, 409                  502                        yes                yes
    410                       502                        yes                no
    any other 4xx             502                        no                 no
    500 and above             502, or 503                yes                yes

What the error says goes before its status: a key, an account or a model that is refused with a 400 is the operator's
to mend, so another upstream is asked (`operator_faults.py`). A refusal is passed on with secrets and private addresses
masked; of every other failure the caller learns no more than that, and the log has the upstream's words.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from parley.errors import (
    ErrorWords,
    ParleyError,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamRedirect,
    UpstreamRefused,
)
from parley.telemetry.redaction import Redactor
from parley.upstream.operator_faults import CONTENT, TOO_LARGE, fault_of
from parley.wire import error_forms

PASSED_ON = frozenset({400, 404, 413, 422, 429})
"""Statuses whose error object the caller sees."""
FAILS_OVER = frozenset({401, 402, 403, 404, 408, 409, 410, 429})
"""Statuses below 500 after which another upstream may do better."""
REPEATED = frozenset({408, 409, 429})
"""Statuses below 500 after which the same upstream may do better."""
PASSED_HEADERS = re.compile(r"retry-after(-ms)?|x-ratelimit-[a-z-]+")
"""Headers of an error that the caller sees: they say when to come back."""
MAX_TEXT_CHARACTERS = 2000
"""Limit of each text of an error object that is passed on."""
MAX_REASON_CHARACTERS = 200
"""Limit of the reason in the log line."""
MIN_QUOTED_CHARACTERS = 8
"""Length of a caller's text from which on it is looked for in a reason: a shorter one may be any word."""
MAX_QUOTED_CHARACTERS = 10_000
"""Characters of each of a caller's texts that are looked through."""
QUOTED_WORDS = 6
"""Words in a row that make a quotation."""
_WORD = re.compile(r"[^\W_][\w@.+-]{2,62}\w")
# A digit, an at sign, or a capital behind the first letter.
_STANDS_OUT = re.compile(r"[\d@]|.[A-Z]", re.DOTALL)
# A header is written as it came, so it must hold no line break.
_SAFE_VALUE = re.compile(r"[\x20-\x7e]{1,200}")


def error_for_status(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    redactor: Redactor,
    own_key: bool,
    said: Sequence[str] = (),
) -> ParleyError:
    """Return the error for a response whose status is no success.

    `redactor` masks secrets and addresses in all that is passed on and logged. `own_key` is true if the request bore
    the server's own key. `said` are the caller's words, which are not logged.
    """
    words = error_forms.read_refusal(body)
    told = words.message
    if told is None and (title := error_forms.page_title(body)):
        told = f"the upstream answered with status {status} and a page: {title}"
    return _error_for(status, words, redactor, own_key, headers, reason_of(told, redactor, said))


def error_for_report(
    error: UpstreamError, redactor: Redactor, *, own_key: bool, begun: bool, said: Sequence[str] = ()
) -> UpstreamError:
    """Return the error for one that stood inside of an answer with a status of success.

    Before the answer has `begun` it counts as its own status says. Behind that the request was good, and it is a
    failure of the upstream in any case.
    """
    words = error.words
    if words is None:
        return error
    reason = reason_of(words.message, redactor, said)
    if not begun and words.status and words.status < 500:
        refused = _error_for(words.status, words, redactor, own_key, {}, reason)
        if isinstance(refused, UpstreamAuthFailed | UpstreamRefused) or refused.fault:
            return refused
    return error.with_reason(reason, status=503 if words.status == 503 and not begun else None)


def reason_of(text: str | None, redactor: Redactor, said: Sequence[str] = ()) -> str | None:
    """Return an upstream's words for the log: no secrets, addresses and words of the caller's; on one line, cut."""
    cleaned = redactor.redact((text or "")[: 4 * MAX_TEXT_CHARACTERS])
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in cleaned).split())
    line = without_quotations(line[: 2 * MAX_REASON_CHARACTERS], said)
    return line if len(line) <= MAX_REASON_CHARACTERS else f"{line[: MAX_REASON_CHARACTERS - 1]}…"


def without_quotations(line: str, said: Sequence[str]) -> str:
    """Return the line with `***` in place of what it quotes of these texts.

    That is a whole text, a run of their words, and single words that stand out: numbers, names, addresses.
    """
    for text in said:
        whole = " ".join(text[:MAX_QUOTED_CHARACTERS].split())
        if len(whole) >= MIN_QUOTED_CHARACTERS:
            line = line.replace(whole, "***")
        # Word by word: an upstream may cut a text, or put marks of its own around it.
        words = line.split(" ")
        runs = range(len(words) - QUOTED_WORDS + 1)
        begun = [at for at in runs if " ".join(words[at : at + QUOTED_WORDS]) in whole]
        quoted = {at + n for at in begun for n in range(QUOTED_WORDS)}
        kept = ["***" if at in quoted else word for at, word in enumerate(words)]
        line = " ".join(word for at, word in enumerate(kept) if word != "***" or kept[at - 1 : at] != ["***"])
        theirs = set(_WORD.findall(whole))
        for found in reversed(list(_WORD.finditer(line))):
            # A name has its capital inside of a sentence.
            is_name = found[0][0].isupper() and line[: found.start()].rstrip(" ,")[-1:].islower()
            if found[0] in theirs and (is_name or _STANDS_OUT.search(found[0])):
                line = f"{line[: found.start()]}***{line[found.end() :]}"
    return line


def _error_for(
    status: int, words: ErrorWords, redactor: Redactor, own_key: bool, headers: Mapping[str, str], reason: str | None
) -> UpstreamError:
    """Return the error for a status, by the table above; see `error_for_status`."""
    if 300 <= status < 400:
        return UpstreamRedirect("the upstream redirects elsewhere; set LLM_BASE_URL to its final address")
    fault = fault_of(status, words)
    passed = {
        name: redactor.redact(value)
        for name, value in headers.items()
        if PASSED_HEADERS.fullmatch(name.lower()) and _SAFE_VALUE.fullmatch(value)
    }
    if fault == "key" and own_key:
        # Words are no proof: an upstream may quote a caller's.
        proven = status in (401, 403) and not CONTENT.search(f"{words.code} {words.message}")
        message = "the upstream refused the server's own key"
        return UpstreamAuthFailed(message, reason=reason, fault=fault, opens_breaker=proven)
    # The caller's own key, its account and its models are the caller's; nor may it use another upstream's key so.
    callers = not own_key and (fault is not None or status == 404)
    may_fail_over = not callers and (status >= 500 or status in FAILS_OVER or fault is not None)
    # A limit of tokens a minute that this one request exceeds by itself: it will exceed it again, and no other does.
    is_too_large = status == 429 and TOO_LARGE.search(words.message or "") is not None
    decided: dict[str, Any] = {
        "retryable": not callers and fault is None and not is_too_large and (status >= 500 or status in REPEATED),
        "may_fail_over": may_fail_over,
        "fault": None if callers else fault,
        "reason": reason,
        "headers": passed,
    }
    if callers or (status in PASSED_ON and (fault != "credit" or status == 429)):
        return UpstreamRefused(status, _error_object(status, words, redactor), **decided)
    # 503 tells the caller to come back, with the upstream's Retry-After; anything else is a bad gateway (502).
    code = 503 if status == 503 else None
    return UpstreamError(f"the upstream answered with status {status}", status=code, **decided)


def _error_object(status: int, words: ErrorWords, redactor: Redactor) -> dict[str, Any]:
    """Return the upstream's `error` object with secrets masked; its message names the status if it gave none."""
    fields = {
        "message": words.message or f"the upstream refused the request with status {status}",
        "type": words.type,
        "param": words.param,
        "code": words.code,
    }
    # Mask before the cut, which might leave half of a key.
    return {
        name: redactor.redact(value[: 4 * MAX_TEXT_CHARACTERS])[:MAX_TEXT_CHARACTERS]
        for name, value in fields.items()
        if value is not None
    }
