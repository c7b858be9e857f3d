"""Which package the embedded demonstration voice is, and whether it is there.

gunicorn's master asks this: nothing heavy may be imported here. The voice itself is in `embedded_voice.py`.
"""

import importlib.util

PACKAGE = "hibari-tts"
VERSION = "0.2.1"
"""The version whose network is known; requirements-local.txt pins the same."""
DESCRIPTION = "hibari, an embedded demonstration voice (English)"


def installed() -> bool:
    """Whether the package and its engine are there; nothing is loaded."""
    return all(importlib.util.find_spec(name) is not None for name in ("hibari", "onnx", "onnxruntime"))
