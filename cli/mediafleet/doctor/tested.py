"""The versions of others that the tests run on; docs/versions.md says by which tests. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Minor = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tested:
    """Minor versions of one program."""

    name: str
    oldest: Minor
    newest: Minor
    ran: bool = True
    """False: the tests follow its source; the program itself was never run by them."""

    def __contains__(self, minor: Minor) -> bool:
        return self.oldest <= minor <= self.newest

    def __str__(self) -> str:
        low, high = (f"{major}.{minor}" for major, minor in (self.oldest, self.newest))
        return low if low == high else f"{low} to {high}"


KUBERNETES: Final = Tested("Kubernetes", (1, 33), (1, 36))
KEDA: Final = Tested("KEDA", (2, 21), (2, 21))
LIVEKIT_SERVER: Final = Tested("livekit-server", (1, 13), (1, 13))
EGRESS: Final = Tested("livekit/egress", (1, 14), (1, 14), ran=False)
GO_LIVEPEER: Final = Tested("go-livepeer", (0, 9), (0, 9), ran=False)
REDIS: Final = Tested("Redis", (7, 0), (7, 0))
VALKEY: Final = Tested("Valkey", (9, 1), (9, 1))
ALL: Final = (KUBERNETES, KEDA, LIVEKIT_SERVER, EGRESS, GO_LIVEPEER, REDIS, VALKEY)
