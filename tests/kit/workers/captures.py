"""Messages of go-livepeer 0.9.1, as they came from the wire."""

from __future__ import annotations

from typing import Final

from mediafleet_testbed.paths import REPOSITORY

FOLDER: Final = REPOSITORY / "tests/kit/workers/captured"


def capture(name: str) -> bytes:
    """The bytes of one of them."""
    return (FOLDER / name).read_bytes()
