"""Which bid a psrpc client takes, and how long it waits for better ones. Pure.

Source: livekit/psrpc pkg/client/rpc.go (selectServer) and its SelectionOpts. Times are seconds
after the request was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class Selection:
    """How a client chooses among bids, as psrpc's SelectionOpts."""

    accept_first: bool = False
    """Take whichever bid comes first."""
    maximum_affinity: float = 0.0
    """Take a bid as high at once; 0: none is."""
    affinity_timeout_seconds: float = 1.0
    """Wait for bids no longer than this."""
    short_circuit_seconds: float = 0.0
    """After the first bid wait for better ones this long; 0: until the time-out."""

    def ends(self, affinity: float) -> bool:
        """Whether a bid ends the wait."""
        return self.accept_first or 0 < self.maximum_affinity <= affinity


ACCEPT_FIRST: Final = Selection(accept_first=True)
UPSTREAM_START_EGRESS: Final = Selection(maximum_affinity=1.0, short_circuit_seconds=0.5)
"""As livekit-server starts egress (livekit/protocol rpc/egress_client.go)."""


class Auction(NamedTuple):
    """The bids for one request so far. A tuple, since a new one is made for each bid."""

    selection: Selection
    closes: float
    """When the best bidder is taken, if no bid ends the wait before."""
    best: str | None = None
    """Who bid the most; of equal ones the first. A bid of 0 is never the best."""
    affinity: float = 0.0
    """Of the best."""
    heard: bool = False
    """Whether anybody has bid."""
    over: bool = False
    """Whether a bid has ended the wait."""

    def bid(self, bidder: str, affinity: float, at: float) -> Auction:
        """The auction with one more bid; its first begins the wait for better ones, whatever it
        is."""
        wait = self.selection.short_circuit_seconds
        closes = min(self.closes, at + wait) if wait > 0 and not self.heard else self.closes
        if self.selection.ends(affinity):
            return self._replace(closes=at, best=bidder, affinity=affinity, heard=True, over=True)
        if affinity > self.affinity:
            return self._replace(closes=closes, best=bidder, affinity=affinity, heard=True)
        return self._replace(closes=closes, heard=True)


def auction(selection: Selection) -> Auction:
    """An auction without a bid."""
    return Auction(selection, selection.affinity_timeout_seconds)
