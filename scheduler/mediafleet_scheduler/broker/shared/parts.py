"""What each broker of a Redis has, told to the others: any of them knows a pool's demand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.broker.shared.ledger import Ledger, LedgerError
from mediafleet_scheduler.broker.shared.tasks import SharedTimes
from mediafleet_scheduler.core.workers.several.combined import Part, part_from

_log: Final = logging.getLogger(__name__)


class SharedParts:
    """Tells ours and reads theirs, once a beat."""

    def __init__(
        self, ledger: Ledger, own: Callable[[], Part], times: SharedTimes, clock: Clock = SYSTEM
    ) -> None:
        self._ledger = ledger
        self._own = own
        self._times = times
        self._clock = clock
        self._parts: Mapping[str, Part] = {}
        self._read_at: float | None = None
        self._strange: list[str] = []

    def others(self) -> Mapping[str, Part] | None:
        """What the other brokers have, by their names; `None`: that is not known now."""
        if self._read_at is None:
            return None
        late = self._clock.monotonic() - self._read_at > self._times.lease_seconds
        return None if late else self._parts

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._look()
            except LedgerError as error:
                _log.debug("%s", error)  # The beat complains.
            await asyncio.sleep(self._times.beat_seconds)

    async def _look(self) -> None:
        texts = await self._ledger.share(self._own().to_json(), self._times.lease_seconds)
        read = {name: part_from(text) for name, text in texts.items()}
        strange = sorted(name for name, part in read.items() if part is None)
        if strange and strange != self._strange:
            _log.error("cannot read what brokers of another version have: %s", ", ".join(strange))
        self._strange = strange
        self._parts = {name: part for name, part in read.items() if part is not None}
        self._read_at = None if strange else self._clock.monotonic()
