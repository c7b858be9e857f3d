"""Faults of the operator's that an upstream tells by code or words: its key, its account's credit, the model's name.

Upstreams give them any status: an unknown model is a 404 at one and a 400 at the next. Another vendor's form is one
more line of a table. A fault that is missed costs a fallback that would have answered; one that is seen where there is
none costs one attempt more. Complaints about what is asked of a model that is there (`CAPABILITY`) are the caller's.
"""

import dataclasses
import re

from parley.errors import ErrorWords, Fault

_OTHERWISE = r"(?!'s| (?:output|response|context|input|parameters?)\b)"
_MODEL = rf"\b(?:models?|deployment|engine)\b{_OTHERWISE}"
"""Matches the subject of a sentence about a model; its name may follow."""
_IS = r"(?:is|was|are|has been|have been|been|being)(?: now| already| currently)?"
_NOT = r"(?:not|n't)(?: be| been| currently| a| an)?"
SEARCHED_CHARACTERS = 600
"""Characters of a message that are searched: a longer one may be made to cost much time."""


@dataclasses.dataclass(frozen=True)
class FaultForm:
    """The codes and words for one fault, in refusals with one of these statuses.

    A code, or a type, is compared in lower case and without its punctuation, as a whole; words are searched for.
    """

    fault: Fault
    statuses: frozenset[int]
    codes: tuple[str, ...]
    words: tuple[str, ...]

    def names(self, words: ErrorWords) -> bool:
        """Return true if the code, the type or the message names this fault."""
        names = (re.sub("[^a-z0-9]", "", name.lower()) for name in (words.code, words.type) if name)
        if any(re.fullmatch("|".join(self.codes), name) for name in names):
            return True
        message = (words.message or "")[:SEARCHED_CHARACTERS]
        return re.search("|".join(self.words), message, re.IGNORECASE) is not None


FORMS = (
    FaultForm(
        "key",
        frozenset({400, 404, 422}),
        codes=(
            "(?:invalid|incorrect|missing|expired|revoked|no)apikey",
            "apikey(?:invalid|missing|expired|notfound)",
            "invalidauthentication",
        ),
        words=(
            r"\bapi[ _-]?key (?:is )?(?:not valid|invalid|incorrect|missing|expired|revoked|not found|disabled)",
            r"\bapi[ _-]?key (?:is required|has (?:been|expired)|was (?:revoked|disabled|deleted))",
            r"\b(?:invalid|incorrect|wrong|expired|missing|no|bad|revoked) (?:x-)?api[ _-]?key",
            r"\bno auth(?:entication|orization)? (?:credentials|header|token)|\bkey (?:is |has been |was )revoked",
            "(?:无效|错误)的 ?(?:api ?)?(?:key|令牌|密钥)",
            r"\b(?:invalid|incorrect|expired|missing) (?:authentication|credentials|access token|bearer token)",
        ),
    ),
    FaultForm(
        "credit",
        frozenset({400, 404, 422, 429}),
        codes=(
            "organizationrestricted",
            "(?:insufficient|exceededcurrent)(?:quota|balance|credits?|funds)(?:error)?",
            "billing(?:hard|soft)?limitreached",
            "billingnotactive",
            "accountoverdue(?:error)?",
            "arrearage",
            "paymentrequired",
        ),
        words=(
            r"\bcredit balance is too low",
            r"\b(?:insufficient|not enough|no more|no remaining|out of) (?:\w+ )?(?:credits?|balance|funds)\b",
            r"\bbilling (?:hard limit|is not active|not active)",
            r"\baccount (?:(?:is|was|has been) )?(?:overdue|suspended|deactivated|restricted|disabled|in arrears)",
            r"\baccount is not active",
            r"\b(?:project|consumer|organi[sz]ation|subscription|team|workspace)\b.{0,60}? (?:is|was|has been|has|been)"
            r" (?:overdue|suspended|deactivated|restricted|disabled|expired|exceeded its billing)",
            r"\borgani[sz]ation must be verified",
            r"\bbalance (?:is )?(?:insufficient|too low|exhausted)",
            # Gemini, OpenAI: an account's place, which a caller can't mend either.
            r"\b(?:user location|country|region|territory)\b.{0,40}? not supported|\bunsupported (?:country|region)",
            r"\bpayment (?:is )?required",
            "余额不足|欠费",
        ),
    ),
    FaultForm(
        # As a 429 such words may tell of a limit by the minute.
        "credit",
        frozenset({400, 404, 422}),
        codes=("budgetexceeded",),
        words=(
            r"\b(?:budget|quota|billing limit|spend(?:ing)? limit|usage limit|monthly limit)\b.{0,20}?"
            r" (?:exceeded|reached|exhausted|used up)|\bexceeded your current quota",
        ),
    ),
    FaultForm(
        "model",
        frozenset({400, 404, 410, 422}),
        codes=(
            "(?:unknown|invalid|unsupported|deprecated|nosuch|nonexistent|wrong)(?:model|engine|deployment)(?:name|id|error)?",
            r"(?:model|engine|deployment|endpoint)\w{0,12}?(?:not|doesnot)(?:found|exists?|supported|available|ready)\w{0,9}",
            r"(?:model|engine|deployment)\w{0,12}?(?:unknown|invalid|unsupported|unavailable|disabled|offline)(?:error)?",
            r"(?:model|engine|deployment)\w{0,12}?(?:deprecated|decommissioned|retired|removed|terminated|endoflife)(?:error)?",
            r"(?:model|engine|deployment)accessdenied",
            r"invalidendpointormodel\w*",
            # Cloudflare; Zhipu; SiliconFlow
            "5007|1211|20012",
        ),
        words=(
            # "The model `x` does not exist"
            rf"{_MODEL}.{{0,150}}?{_NOT} (?:exists?|found|known|valid|available|recogni[sz]ed|registered|deployed)\b",
            rf"{_MODEL}.{{0,150}}?{_NOT} (?:loaded|accessible|served|installed|hosted|located|resolved|active)\b",
            # "The model `x` has been decommissioned"
            rf"{_MODEL}.{{0,150}}?\b{_IS} (?:deprecated|decommissioned|retired|discontinued|sunset|removed|obsolete)\b",
            rf"{_MODEL}.{{0,150}}?\b{_IS} (?:shut ?down|turned off|disabled|deactivated|unavailable|unknown|invalid)\b",
            rf"{_MODEL}.{{0,150}}?\b(?:no longer|end[- ]of[- ](?:its )?life|not exist|only supported in v1/)",
            # "model x is not supported", but not "is not supported with this model"
            rf"{_MODEL}.{{0,120}}?\b(?:{_IS} )?(?:not supported|unsupported)\b(?! (?:with|in|when|on)\b)",
            # "Unknown model: x", "No such model"
            rf"\b(?:unknown|invalid|unrecogni[sz]ed|unsupported|bad) (?:value for |requested )?['\"`]?{_MODEL}",
            rf"\b(?:no such|non-?existent|retired|deprecated|unavailable) {_MODEL}",
            # "x is not a valid model ID", "not a chat model"
            rf"\bnot (?:a |an )?(?:(?:valid|known|recogni[sz]ed|supported|available|chat) )+{_MODEL}",
            # "Could not find the model", "failed to load model", "Not found the model x"
            r"\b(?:not|can't|cannot|n't|failed to|unable to) (?:find|found|load|locate|access) (?:\w+ )?model\b",
            r"\b(?:n't|not) (?:have access|(?:allowed|permitted|authori[sz]ed) to (?:use|access)).{0,20} model\b",
            r"\b(?:provide|specify|select|choose) (?:a|another|a different|one) (?:\w+ )?model\b",
            # OpenRouter, one-api, llama-swap
            r"\bno (?:\w+ )?(?:endpoints?|providers?|channels?|routers?|backends?) (?:\w+ ){0,2}?(?:for|under)\b",
            r"\bLLM Provider NOT provided",
            r"\bno models? (?:is |are )?(?:currently )?loaded|\bwrong model\b",
            r"\bno (?:healthy )?deployments? (?:available )?for\b|\bdeployment\b.{0,60}? (?:is )?not ready",
            # NVIDIA; Bedrock, whose newer models need an inference profile; Azure
            r"\bfunction\b.{0,80}? not found for account",
            r"\bon-demand throughput (?:isn.t|is not) supported",
            r"\boperation does not work with the specified model",
            r"\bmod[eè]le.{0,60}(?:n'existe pas|introuvable|inconnu)|\bmodelo.{0,60}(?:no existe|não existe)",
            "模型.{0,60}(?:不存在|不支持|未找到|下线|停用|找不到)",
        ),
    ),
)
"""The faults that a status alone does not tell."""
CAPABILITY = re.compile(
    r"support(?:ed|s)? (?:with|by|for|in|on) (?:this|the|that) (?:\w+ )?model"
    r"|(?:does|do)(?: not|n't) support\b|(?:available|allowed|compatible) (?:with|for) (?:this|the) (?:\w+ )?model"
    r"|context (?:length|window|size)|maximum (?:context|number|length)|too (?:long|large|many)",
    re.IGNORECASE,
)
"""Complaints about what is asked of a model: no sign that the model is missing, whatever else the sentence says."""
CONTENT = re.compile(r"flagged|moderat|content[ _]?(?:polic|filter|management)|safety|harmful|guardrail", re.IGNORECASE)
"""Complaints about what a caller said, for which some upstreams give 403."""

TOO_LARGE = re.compile(r"request too large|tokens must be reduced", re.IGNORECASE)
"""Complaints about one request that come as a rate limit."""


def fault_of(status: int, words: ErrorWords) -> Fault | None:
    """Return the fault of the operator's that a refusal tells of, or None: then it is the caller's."""
    if status in (401, 402, 403):
        return "credit" if status == 402 else "key"
    by_capability = CAPABILITY.search(words.message or "") is not None
    # OpenAI names the field at fault.
    if words.param == "model" and status in (400, 422) and not by_capability:
        return "model"
    for form in FORMS:
        if status in form.statuses and form.names(words) and not (form.fault == "model" and by_capability):
            return form.fault
    return None
