"""The indexes of the knowledge, with the encoders, cache and thresholds that the settings name."""

from parley.knowledge import minilm, multilingual
from parley.knowledge.encoders import CACHE_FILE, ApiEncoder, EmbeddedEncoder, Encoders, IndexFactory
from parley.knowledge.vector_cache import VectorCache
from parley.settings import Settings


def index_factory_of(settings: Settings) -> IndexFactory:
    """Return the factory of the knowledge bases' indexes, with the settings' encoders, cache and thresholds."""
    return IndexFactory(
        encoders_of(settings),
        vector_cache_of(settings),
        min_coverage=settings.rag_min_coverage,
        min_evidence=settings.rag_min_evidence,
    )


def encoders_of(settings: Settings) -> Encoders:
    """Return the encoder that the settings name, for all languages, else the embedded ones that are installed."""
    if settings.rag_tier == "lexical":
        return Encoders()
    if settings.embeddings_base_url:
        encoder = ApiEncoder(
            settings.embeddings_base_url,
            settings.embeddings_api_key,
            settings.embeddings_model,
            timeout=settings.embeddings_timeout,
            connect_timeout=settings.connect_timeout,
        )
        return Encoders(encoder, encoder)
    timeout = settings.embeddings_timeout
    return Encoders(
        EmbeddedEncoder.for_english(timeout) if minilm.installed() else None,
        EmbeddedEncoder.for_other_languages(timeout) if multilingual.installed() else None,
    )


def vector_cache_of(settings: Settings) -> VectorCache:
    """Return the cache of vectors in the folder that the settings name."""
    return VectorCache(settings.embeddings_cache / CACHE_FILE)
