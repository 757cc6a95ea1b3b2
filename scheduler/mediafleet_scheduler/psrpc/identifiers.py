"""Identifiers as psrpc makes them: a prefix and twelve letters and digits.

Peers compare them and read nothing in them.
"""

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


def server_id(family: str = "") -> str:
    """A new server's; one of a family can be told from others by its id (`is_of_family`)."""
    return _made(f"SRV_{family}_" if family else "SRV_")


def is_of_family(server: str, family: str) -> bool:
    """Whether a server id was made for a family."""
    return server.startswith(f"SRV_{family}_")


def request_id() -> str:
    """A new request's."""
    return _made("REQ_")


def _made(prefix: str) -> str:
    return prefix + "".join(_random.choices(_ALPHABET, k=_LENGTH))
