"""What the kernel counts of the network of this pod or machine. Pure: text in, bytes out.

Form: Linux, Documentation/filesystems/proc.rst, /proc/net/dev.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_LOOPBACK: Final = "lo"
_FIELDS: Final = 16
_SENT: Final = 8


@dataclass(frozen=True, slots=True)
class Transferred:
    """Bytes since some beginning."""

    received: int
    sent: int


def parse(text: str) -> Transferred | None:
    """All interfaces but loopback, together; `None`: there is none."""
    found = [
        (int(fields[0]), int(fields[_SENT]))
        for line in text.splitlines()
        for name, colon, rest in [line.partition(":")]
        for fields in [rest.split()]
        if colon and name.strip() != _LOOPBACK and len(fields) >= _FIELDS
    ]
    if not found:
        return None
    return Transferred(sum(got for got, _ in found), sum(sent for _, sent in found))
