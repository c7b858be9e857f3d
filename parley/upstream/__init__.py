"""The model upstream: routing and attempts, the reading of its streams, its errors, the embedded model.

Nothing here knows Flask, the knowledge or speech; `parley/answers/` brings them together.

    router ──► attempts ──► chat_api ──► http_client
                  │            │
          breaker, retries     └──► stream_reader, status_errors

Each call passes them from left to right. Up to the commit point (the first content) an attempt may be replaced by
another; behind it nothing is repeated, because a caller may have heard it.
"""
