"""How long a question waits for a demand that is not known yet.

An error costs more than it says: KEDA then closes the connection, and with it the stream by which
demand is pushed, and opens the next one after 2 s. So what is unknown for a moment only, as a new
fleet or a Redis that changes its master, is waited for; once the time is over, questions are
refused at once, until something is known again. Source: kedacore/keda pkg/scaling/scale_handler.go
(ClearScalersCache), pkg/scalers/external_scaler.go (Close, runStreamIsActive). Pure.
"""

from __future__ import annotations

from typing import Final

Key = tuple[str, str]
"""Namespace and name."""

_MOST: Final = 4096
"""Fleets that are waited for: whoever asks names them."""


class Patience:
    """Since when the demand of which fleets has been unknown."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[Key, float] = {}

    def known(self, key: Key) -> None:
        """The demand of a fleet is known."""
        self._since.pop(key, None)

    def left(self, key: Key, now: float) -> float:
        """How many seconds longer a fleet whose demand is not known is waited for; at most 0: no
        more. `now` in seconds of any clock that only goes on."""
        if key not in self._since and len(self._since) >= _MOST:
            return 0.0
        return self._since.setdefault(key, now) + self._seconds - now
