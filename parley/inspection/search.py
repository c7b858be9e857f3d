"""A search of the knowledge as `/rag` makes it, with all that decided: for `flask kb search` and for the playground."""

import re
from collections.abc import Mapping
from typing import Any

from parley.answers.lookup import Lookup, lookup_of
from parley.errors import WarmingUp
from parley.knowledge import prompt
from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.bases import Base
from parley.knowledge.index import Hit, Index, Query, Ranking, SearchFailed
from parley.knowledge.prompt import MORE_THAN_WANTED, Framing, select_excerpts
from parley.knowledge.semantic import SemanticIndex
from parley.services import Services
from parley.wire.request import ChatRequest, Origin

NEAREST = 3
"""Passages that are shown where a search finds nothing."""


def explain(services: Services, chat: ChatRequest, kb: str = "") -> dict[str, Any]:
    """Return what a search for a conversation's last turn found in a base, why, and the text sent to a model.

    Raises NotFound for an unknown base, WarmingUp for one that is not loaded in time, or can't be searched now.
    """
    served = services.knowledge.base(kb)
    try:
        return _explained(services, chat, served)
    except SearchFailed as failed:
        raise WarmingUp(f"the knowledge base can't be searched now: {failed}") from None


def _explained(services: Services, chat: ChatRequest, served: Base) -> dict[str, Any]:
    base, top_k = served.settings, services.settings.rag_top_k
    found = lookup_of(chat, base)
    # /rag searches for as many: of near-duplicates among them only the best is sent, and the next hit moves up.
    ranking = served.index.rank(found.query, top_k * MORE_THAN_WANTED) if found.query else None
    hits = ranking.hits if ranking else []
    excerpts = select_excerpts(hits, top_k)
    sent = {hit.passage.id for excerpt in excerpts for hit in excerpt.hits}
    # Small talk goes to the model as it is.
    framing = prompt.reference(excerpts, base) if ranking else Framing("", "")
    # In the written forms of the passages: "m x two oh four b" shares the word MX-204B with one.
    compared = ranking.query.text if ranking else chat.question
    told = describe_decision(found, ranking, served.index, base)
    told["hits"] = [describe_hit(hit, compared, hit.passage.id in sent) for hit in hits]
    told["sent"] = framing.before + chat.question + framing.after
    if found.query and ranking and not hits:
        told |= describe_nearest(served.index, found.query, ranking)
    return told


def conversation(question: str, before: str, agent: str, filters: Mapping[str, Any]) -> ChatRequest:
    """Return the request that a question makes behind these messages; empty ones were not said."""
    said = (("user", before), ("assistant", agent))
    messages = [{"role": role, "content": text} for role, text in said if text] + [
        {"role": "user", "content": question}
    ]
    return ChatRequest({"messages": messages, "filters": filters}, stream=False, origin=Origin("kb search", v1=True))


def describe_decision(found: Lookup, ranking: Ranking | None, index: Index, base: BaseSettings) -> dict[str, Any]:
    """Return all that is told of a search besides its hits: the base, the gate, the query and the threshold."""
    encoder = index.encoder if isinstance(index, SemanticIndex) else index.compared_by
    return {
        "language": index.language.code,
        "encoder": encoder.name if encoder else None,
        "gate": found.intent.value if base.gated else "off",
        "looked_up": ranking and ranking.query.text,
        "before": ranking and ranking.query.before,
        "measure": ranking and ranking.measure,
        "confidence": ranking and round(ranking.confidence, 4),
        "threshold": ranking and ranking.threshold,
        "refusal": ranking.refusal if ranking else "nothing to look up",
    }


def describe_hit(hit: Hit, question: str, sent: bool) -> dict[str, Any]:
    """Return all that is told of a hit; `sent` tells whether the model gets its passage."""
    passage = hit.passage
    return {
        "id": passage.id,
        "title": passage.title,
        "file": passage.file,
        "score": round(hit.score, 4),
        "parts": {name: round(value, 4) for name, value in hit.parts.items()},
        "words": shared_words(question, f"{passage.title} {passage.text}"),
        "sent": sent,
        "text": passage.text,
    }


def describe_nearest(index: Index, query: Query, ranking: Ranking) -> dict[str, Any]:
    """Return what a search came near to that found nothing: its best figures, the floor, and the best passages."""
    # A second search, which only an operator waits for.
    nearest = index.without_floor().rank(query, NEAREST).hits
    parts = nearest[0].parts if nearest else {}
    cosines = [hit.parts["cosine"] for hit in nearest if "cosine" in hit.parts]
    return {
        "best_cosine": round(max(cosines), 4) if cosines else None,
        "coverage": round(parts.get("coverage", 0.0), 4),
        "floor": ranking.threshold,
        "nearest": [describe_hit(hit, ranking.query.text, False) for hit in nearest],
    }


def shared_words(question: str, text: str) -> list[str]:
    """Return the question's words of at least three letters whose first five letters begin a word of the text.

    That is close enough to the stems by which the index compares words.
    """
    beginnings = {word[:5] for word in re.findall(r"\w+", text.casefold())}
    words = dict.fromkeys(re.findall(r"\w+", question.casefold()))
    return [word for word in words if len(word) > 2 and word[:5] in beginnings]
