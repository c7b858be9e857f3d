"""The child process of `embedded.py`: llama.cpp's OpenAI-compatible server, until standard input ends.

Run as `python model_server.py PORT MODEL_FILE ALIAS`, with the key as the first line of standard input.
"""

import os
import sys
from typing import Any

CONTEXT_TOKENS = 8192
PARALLEL_ANSWERS = 4
MOST_TOKENS = 128


def parameters(port: int, model: str, alias: str, key: str) -> Any:
    """llama.cpp's parameters: loopback only, quiet, greedy (a model this small is at its best so)."""
    import xllamacpp

    chosen = xllamacpp.CommonParams()
    chosen.model.path = model
    chosen.model_alias = {alias}
    chosen.hostnames = ["127.0.0.1"]
    chosen.port = port
    chosen.reuse_port = True
    chosen.api_keys = [key]
    chosen.ui = False
    chosen.endpoint_slots = False
    chosen.verbosity = 1  # errors only: callers' words stay out of the log
    chosen.n_ctx = CONTEXT_TOKENS
    chosen.n_parallel = PARALLEL_ANSWERS
    chosen.n_predict = MOST_TOKENS
    chosen.sampling.temp = 0.0
    chosen.cpuparams.n_threads = os.cpu_count() or 1
    return chosen


def main() -> None:
    """Serve until the parent is gone."""
    port, model, alias = sys.argv[1:]
    key = sys.stdin.readline().strip()
    import xllamacpp

    server = xllamacpp.Server(parameters(int(port), model, alias, key))  # it serves for as long as it is held
    sys.stdin.read()
    os._exit(0 if server else 1)  # its orderly end may wait for ever, and nothing is left to put in order


if __name__ == "__main__":
    main()
