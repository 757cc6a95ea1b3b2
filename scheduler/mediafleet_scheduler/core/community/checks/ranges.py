"""In which ranges of blocks an RPC is asked for logs. Pure.

Providers cap how many blocks, or how many logs, one eth_getLogs may be of, each otherwise, and say
so by an error of their own words or by silence. So a range that is refused is asked by halves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

MOST_BLOCKS: Final = 10_000
"""In one range. An hour of Arbitrum One has 14,400."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far logs are read."""

    next_block: int
    """The first one that is not."""
    width: int = MOST_BLOCKS
    """Blocks that the next range has at most."""

    def range(self, last: int) -> tuple[int, int] | None:
        """The next range up to a last block, both ends in it; `None`: all is read."""
        if self.next_block > last:
            return None
        return self.next_block, min(last, self.next_block + self.width - 1)

    def took(self, end: int) -> Reading:
        """After a range that was answered."""
        return replace(self, next_block=end + 1)

    def refused(self, end: int) -> Reading | None:
        """After one that was not; `None`: it was a single block, which has no halves."""
        blocks = end - self.next_block + 1
        return replace(self, width=blocks // 2) if blocks > 1 else None

    def later(self) -> Reading:
        """At another time wider ranges are tried again: a cap of logs depends on how many there
        are."""
        return replace(self, width=min(MOST_BLOCKS, 2 * self.width))
