"""The knowledge bases, and their indexes with the encoders, cache and thresholds that the settings name."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from parley.factories.limits import link_of
from parley.knowledge import minilm, multilingual
from parley.knowledge.bases import Bases
from parley.knowledge.encoders import CACHE_FILE, ApiEncoder, EmbeddedEncoder, Encoders, IndexFactory
from parley.knowledge.sources import FolderSource, Scans
from parley.knowledge.vector_cache import VectorCache, Vectors
from parley.settings import Settings, SettingsError

if TYPE_CHECKING:
    from parley.knowledge.database.connections import Connections
    from parley.shared.link import Link


def bases_of(
    settings: Settings,
    factory: IndexFactory,
    in_thread: Callable[[Callable[[], Scans]], Scans],
    breathe: Callable[[], None],
) -> "tuple[Connections | None, Bases]":
    """Return the knowledge bases, and the connections to the database if the settings name one.

    Without one they are those of the folder, whose looks run `in_thread`. Raises SettingsError if a package is missing.
    """
    if settings.database_url is None:
        return None, Bases(FolderSource(settings.kb_dir, in_thread), factory.build, breathe)
    # perf: saves 90 ms and 9 MiB (a start without a database)
    from parley.knowledge.database import address

    if fault := address.missing_package():
        raise SettingsError(fault)
    from parley.knowledge.database.connections import Connections
    from parley.knowledge.database.on_demand import BasesOnDemand
    from parley.knowledge.database.searched_bases import SearchedBases
    from parley.knowledge.database.snapshots import Snapshots
    from parley.knowledge.database.source import DatabaseSource, address_key

    # Nothing connects before the first look, which a worker makes.
    connections = Connections(settings.database_url, settings.database_pool)
    copies = Snapshots(settings.cache_folder, address_key(settings.database_url))
    timeout = min(settings.database_timeout, settings.rag_timeout)
    searched = SearchedBases(connections, settings.kb_resident, timeout, factory.tier_for)
    source = DatabaseSource(connections, copies, searched)
    return connections, BasesOnDemand(
        source, factory.build, breathe, limit=settings.kb_resident, prepare=factory.prepare
    )


def index_factory_of(settings: Settings, link: "Link | None" = None) -> IndexFactory:
    """Return the factory of the knowledge bases' indexes, with the settings' encoders, cache and thresholds."""
    return IndexFactory(
        encoders_of(settings),
        vector_cache_of(settings, link),
        min_coverage=settings.rag_min_coverage,
        min_evidence=settings.rag_min_evidence,
    )


def encoders_of(settings: Settings) -> Encoders:
    """Return the encoder that the settings name, for all languages, else the embedded ones that are installed."""
    if settings.rag_tier == "lexical":
        return Encoders()
    if settings.embeddings_base_url:
        # Models of such APIs know many languages.
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


def vector_cache_of(settings: Settings, link: "Link | None" = None) -> Vectors:
    """Return the cache of vectors that the settings name: in Redis, behind this link if there is one, or in a folder.

    A new link has asked Redis once, and does not go on by itself: it is for a command.
    """
    if settings.embeddings_cache != "redis":
        return VectorCache(settings.embeddings_cache / CACHE_FILE)
    # perf: saves 60 ms (a start without Redis)
    from parley.knowledge.redis_vectors import RedisVectors

    if link is None:
        link = link_of(settings, counted=False)
        link.beat()
    return RedisVectors(link)
