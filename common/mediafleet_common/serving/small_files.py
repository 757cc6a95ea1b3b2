"""Small files that people write: secrets, configs, lists. They are read within a bound."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

MAX_SECRET_BYTES: Final = 64 * 1024
MAX_CONFIG_BYTES: Final = 1024 * 1024


def read_small(path: Path, max_bytes: int = MAX_CONFIG_BYTES) -> bytes:
    """What a file holds.

    Raises:
        OSError: it cannot be read, is no regular file (a pipe might never answer, /dev/zero never
            end), or too large. Its `strerror` says so without the path.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(None, "it is no regular file")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except ValueError as error:
        # Of a path that holds a NUL.
        raise OSError(None, "no file can have such a name") from error
    if len(content) > max_bytes:
        raise OSError(None, f"it holds more than {max_bytes} bytes")
    return content


def read_small_text(path: Path, max_bytes: int = MAX_CONFIG_BYTES) -> str:
    """What a text file holds, without a byte order mark.

    Raises:
        OSError: as `read_small`, or it is not UTF-8.
    """
    try:
        return read_small(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError:
        # The error itself quotes a byte, which may be one of a secret.
        raise OSError(None, "it is not UTF-8") from None
