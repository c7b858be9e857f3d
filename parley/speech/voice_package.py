"""The package of the embedded demonstration voice, and the question whether it is installed.

gunicorn's master asks: import nothing heavy here. The voice itself is in `embedded_voice.py`.
"""

import importlib.util

PACKAGE = "hibari-tts"
VERSION = "0.2.1"
"""The version whose network is known, the one that requirements-local.txt pins."""
DESCRIPTION = "hibari, an embedded demonstration voice (English)"


def installed() -> bool:
    """Return True if the package and its engine can be imported, without loading either."""
    # The voice can't start with one of the three missing, and a half installation must not stop the server.
    return all(importlib.util.find_spec(name) is not None for name in ("hibari", "onnx", "onnxruntime"))
