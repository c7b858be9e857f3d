"""The upstream that the settings name."""

from parley.settings import Settings
from parley.upstream.chat_api import ChatApi
from parley.upstream.embedded import model_process
from parley.upstream.embedded.client import EmbeddedUpstream
from parley.upstream.router import KnowledgeOnly, Upstream, UpstreamRouter
from parley.upstream.timeouts import Timeouts


def upstream_of(settings: Settings) -> Upstream:
    """Return the upstream that the settings name: an API and its fallbacks, else the embedded model, else none."""
    timeouts = Timeouts(
        connect=settings.connect_timeout,
        first_content=settings.ttft_timeout,
        precommit=settings.precommit_timeout,
        idle=settings.idle_timeout,
        total=settings.stream_timeout,
    )
    upstreams = [*_first_upstream(settings, timeouts), *_fallbacks(settings, timeouts)]
    if not upstreams:
        return KnowledgeOnly()
    return UpstreamRouter(
        upstreams,
        timeouts,
        tick=settings.heartbeat or settings.idle_timeout,
        hedge_after=settings.hedge_after / 1000 if settings.hedge_after else None,
        # FALLBACK_TEXT is spoken in place of an answer without a word.
        passes_wordless=not settings.fallback_text,
    )


def _first_upstream(settings: Settings, timeouts: Timeouts) -> list[ChatApi]:
    if settings.model_url:
        return [
            ChatApi(
                "primary",
                settings.model_url,
                settings.llm_api_key,
                settings.llm_model,
                timeouts,
                # Each turn may need a connection, and each that it leaves behind saves the next one a handshake.
                max_idle=settings.max_streams,
                forward_fields=settings.llm_forward_fields,
                spare=settings.spare_connections,
                headers=settings.llm_headers,
                params=settings.llm_params,
                # A key of ours is never sent upstream: tokens are forwarded only while the server is open.
                forward_token=not settings.authenticates and not settings.api_keys,
                secrets=settings.secrets,
            )
        ]
    # For `flask` commands there is no master that could have started it.
    if model_process.running:
        return [
            EmbeddedUpstream(model_process.running, timeouts, max_idle=settings.max_streams, params=settings.llm_params)
        ]
    return []


def _fallbacks(settings: Settings, timeouts: Timeouts) -> list[ChatApi]:
    return [
        ChatApi(
            f"fallback-{number}",
            fallback.base_url,
            fallback.key,
            fallback.model or settings.llm_model,
            timeouts,
            max_idle=settings.max_streams,
            forward_fields=settings.llm_forward_fields,
            fixed_model=fallback.model,
            # Its own alone: LLM_HEADERS may hold a key of the first upstream, and LLM_PARAMS what only that one knows.
            headers=fallback.headers,
            params=fallback.params,
            spare=settings.spare_connections,
            secrets=settings.secrets,
        )
        for number, fallback in enumerate(settings.llm_fallbacks, start=1)
    ]
