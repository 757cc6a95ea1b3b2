"""Identifiers as psrpc makes them: a prefix and twelve letters and digits."""

from __future__ import annotations

import random
import string
from typing import Final

_ALPHABET: Final = string.ascii_letters + string.digits
_LENGTH: Final = 12
_random: Final = random.Random()  # Seeded by the system: they must be unique, not secret.


def client_id() -> str:
    """A new client's."""
    return _made("CLI_")


def server_id() -> str:
    """A new server's."""
    return _made("SRV_")


def request_id() -> str:
    """A new request's."""
    return _made("REQ_")


def _made(prefix: str) -> str:
    return prefix + "".join(_random.choices(_ALPHABET, k=_LENGTH))
