"""Writing a file in one step, for folders that a running server may be reading."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds either the old content or the whole new one. Raises OSError."""
    # In the same folder, because a rename across file systems is a copy. The dot hides it from the server's readers.
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(content)
    os.replace(partial, path)
