"""The child process of `model_process.py`: llama.cpp's OpenAI-compatible server, until standard input ends.

Run as `python model_server.py PORT MODEL_FILE ALIAS`, with the key as the first line of standard input.
"""

import os
import sys
from typing import Any

CONTEXT_TOKENS = 8192
"""Tokens of context, for all answers under way together."""
PARALLEL_ANSWERS = 4
"""Answers that are computed at a time; others wait."""
MAX_TOKENS = 128
"""Most tokens of an answer."""


def parameters(port: int, model: str, alias: str, key: str) -> Any:
    """Return llama.cpp's parameters: loopback only, quiet, greedy."""
    import xllamacpp

    chosen = xllamacpp.CommonParams()
    chosen.model.path = model
    chosen.model_alias = {alias}
    chosen.hostnames = ["127.0.0.1"]
    chosen.port = port
    # The master holds the port, see `model_process.start`.
    chosen.reuse_port = True
    chosen.api_keys = [key]
    chosen.ui = False
    chosen.endpoint_slots = False
    # Errors only, so that callers' words stay out of the log.
    chosen.verbosity = 1
    chosen.n_ctx = CONTEXT_TOKENS
    chosen.n_parallel = PARALLEL_ANSWERS
    chosen.n_predict = MAX_TOKENS
    # The most probable token each time: a model this small answers best so.
    chosen.sampling.temp = 0.0
    chosen.cpuparams.n_threads = os.cpu_count() or 1
    return chosen


def main() -> None:
    """Serve until the parent is gone."""
    port, model, alias = sys.argv[1:]
    key = sys.stdin.readline().strip()
    import xllamacpp

    # It serves for as long as it is referenced.
    server = xllamacpp.Server(parameters(int(port), model, alias, key))
    sys.stdin.read()
    # No orderly end: it may wait for ever for a connection, and there is nothing to save.
    os._exit(0 if server else 1)


if __name__ == "__main__":
    main()
