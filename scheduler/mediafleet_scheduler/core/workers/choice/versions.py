"""Versions of runners, as workers declare them. Pure.

A version is compared by its three numbers, as go-livepeer does for the least version that a gateway
asks for (core/capabilities.go); what follows them is left out.
"""

from __future__ import annotations

import re
from typing import Final

_NUMBERS: Final = re.compile(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?![\d.])")

Numbers = tuple[int, int, int]


def numbers(version: str | None) -> Numbers | None:
    """The numbers of a version; `None`: it is not declared, or no such."""
    found = None if version is None else _NUMBERS.match(version)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def too_old(version: str | None, least: str | None) -> bool:
    """Whether a runner is not known to be of a version or a later one."""
    wanted = numbers(least)
    if wanted is None:
        return False
    known = numbers(version)
    return known is None or known < wanted


def oldest(versions: set[str]) -> str | None:
    """The earliest of them; `None`: there is none."""
    return min(versions, key=lambda each: (numbers(each) or (0, 0, 0), each), default=None)
