"""The pauses of a loop that tries again: each twice the one before, up to a longest."""

from __future__ import annotations


class BackOff:
    """Pauses in seconds."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._next = first_seconds

    def pause(self) -> float:
        """The pause after one more failure."""
        now = min(self._next, self._longest)
        self._next = now * 2
        return now

    def reset(self) -> None:
        """It went well: the next pause is the first one again."""
        self._next = self._first
