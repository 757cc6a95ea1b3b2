"""Keeps what a collector has taken for weeks, and reads it again: days for the page, and a table.

While the store is away, hours wait: operators tell each for a day, so that nothing is lost in an
outage of less. What was shown before is shown again, and called old.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.times import rfc3339, unix
from mediafleet_scheduler.community.weeks.store import RefusedError, Store, StoreError
from mediafleet_scheduler.core.community.collecting import Summary
from mediafleet_scheduler.core.community.mapping import world_view
from mediafleet_scheduler.core.community.weeks import queries
from mediafleet_scheduler.core.community.weeks.history import (
    History,
    NoHistoryError,
    history,
    rows,
)
from mediafleet_scheduler.core.community.weeks.series import (
    HOUR_SECONDS,
    Sample,
    asked,
    samples,
    starts,
)
from mediafleet_scheduler.core.community.weeks.table import table

DAY_SECONDS: Final = 86_400
FRESH_SECONDS: Final = 60.0
"""So long an answer is shown again before the store is asked anew: visitors cost it little."""
AGAIN_SECONDS: Final = 5.0
"""So long visitors do not wait for a store that has just not answered."""
_MOST_ANSWERS: Final = 64

_log: Final = logging.getLogger(__name__)


class AwayError(Exception):
    """The store does not answer, and nothing was read of it before."""


@dataclass(frozen=True, slots=True)
class _Answer:
    body: dict[str, Any]
    at: float


class Archive:
    """What lies in one store."""

    def __init__(self, store: Store, days: int = 56, clock: Clock = SYSTEM) -> None:
        self.days = days
        self._store = store
        self._clock = clock
        self._kept: defaultdict[str, set[int]] = defaultdict(set)
        self._asked_kept: set[int] = set()
        self._answers: OrderedDict[tuple[str, frozenset[str]], _Answer] = OrderedDict()
        self._reading = asyncio.Lock()
        self._away_since: float | None = None
        self._failed_at = float("-inf")
        self._known_at = float("-inf")
        self.complaint: str | None = None
        """Why it does not answer; `None`: it does."""
        self.refused = 0
        """Figures that the store has refused for good."""
        self.refusal: str | None = None
        """Which it refused last, and why."""

    def state(self) -> dict[str, Any]:
        """What visitors are told of it."""
        away = None if self._away_since is None else rfc3339(self._away_since)
        return {"days": self.days, "awaySince": away, "refused": self.refused}

    async def restore(self) -> Mapping[str, Summary]:
        """What was published in the last day.

        Raises:
            StoreError: it cannot be read.
        """
        newest = int(self._clock.unix() // HOUR_SECONDS - 1) * HOUR_SECONDS
        found = await self._history(newest - DAY_SECONDS + HOUR_SECONDS)
        for operator, each in found.summaries.items():
            self._kept[operator] |= starts(each).keys()
        return found.summaries

    async def keep(self, summaries: Mapping[str, Summary], operators: int) -> None:
        """Write the hours that are not written; `operators`: how many were asked."""
        newest = int(self._clock.unix() // HOUR_SECONDS - 1) * HOUR_SECONDS
        try:
            for operator, each in summaries.items():
                fresh = starts(each).keys() - self._kept[operator]
                # Each by itself: where a Prometheus refuses one, it refuses the whole request.
                await self._write(operator, samples(operator, each, fresh))
                kept = self._kept[operator] | fresh
                self._kept[operator] = {at for at in kept if at >= newest - 2 * DAY_SECONDS}
            if newest not in self._asked_kept:
                # One who was started again meanwhile may ask others, and the first count stands.
                with suppress(RefusedError):
                    await self._store.write([asked(operators, newest)])
                self._asked_kept = {newest}
        except StoreError as error:
            self._away(error)

    async def _write(self, operator: str, found: list[Sample]) -> None:
        if not found:
            return
        try:
            await self._store.write(found)
        except RefusedError as error:
            self.refused += len(found)
            self._back()
            self.refusal = f"refused, of {len(found)} figures of {operator}: {error}"
            _log.warning("--store: %s", self.refusal)
        else:
            self._back()

    async def knows(self, operator: str) -> bool:
        """Whether the weeks have anything of an operator. Strangers ask, so once a second at most.

        Raises:
            AwayError: the store does not answer, or was asked just now.
        """
        async with self._reading:
            now = self._clock.unix()
            if 0 <= now - self._known_at < 1.0:
                raise AwayError("the store was asked just now: again in a second")
            self._known_at = now
            newest = int(now // HOUR_SECONDS) * HOUR_SECONDS
            try:
                promql = queries.known(operator, self.days)
                body = await self._store.query(promql, newest, newest, HOUR_SECONDS)
                return bool(rows(body))
            except (StoreError, NoHistoryError) as error:
                self._away(error)
                raise AwayError("the store of weeks does not answer") from error

    async def forget(self, operator: str) -> bool:
        """Delete all of one operator; whether the store has."""
        self._kept.pop(operator, None)
        try:
            await self._store.delete(queries.of_operator(operator))
        except StoreError as error:
            self._away(error)
            return False
        finally:
            self._answers.clear()
        return True

    async def day(self, day: str, without: Collection[str]) -> dict[str, Any] | None:
        """The view of one UTC day; `None`: it is no day that is kept. `without`: operators that
        are in no sum.

        Raises:
            AwayError: the store does not answer.
        """
        start = unix(f"{day}T00:00:00Z")
        now = self._clock.unix()
        if start is None or rfc3339(start)[:10] != day:
            return None
        if not now - self.days * DAY_SECONDS <= start + DAY_SECONDS or start > now:
            return None

        async def read() -> dict[str, Any]:
            found = await self._history(int(start))
            known = [each for name, each in found.summaries.items() if name not in without]
            silent = None if found.asked is None else max(0, found.asked - len(known))
            view = world_view(known, 0, start + DAY_SECONDS)
            return {**view, "unknown": silent, "day": day}

        return await self._shown(day, frozenset(without), read)

    async def weeks(self, without: Collection[str]) -> dict[str, Any]:
        """Streams by region of each day that is kept.

        Raises:
            AwayError: the store does not answer.
        """

        async def read() -> dict[str, Any]:
            end = int(self._clock.unix() // HOUR_SECONDS) * HOUR_SECONDS
            start = end - end % DAY_SECONDS - (self.days - 1) * DAY_SECONDS
            told, streams = [
                await asyncio.to_thread(
                    rows, await self._store.query(each, start, end, HOUR_SECONDS)
                )
                for each in (queries.told(without), queries.own_streams(without))
            ]
            return {"rows": [asdict(each) for each in table(told, streams)]}

        return await self._shown("weeks", frozenset(without), read)

    async def _history(self, start: int) -> History:
        end = start + DAY_SECONDS - HOUR_SECONDS
        try:
            body = await self._store.query(queries.everything(), start, end, HOUR_SECONDS)
            return await asyncio.to_thread(lambda: history(rows(body)))
        except NoHistoryError as error:
            raise StoreError(str(error)) from error

    async def _shown(
        self,
        name: str,
        without: frozenset[str],
        read: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """What was read within a minute; where the store is away, what was read before."""
        key = name, without
        async with self._reading:
            known, now = self._answers.get(key), self._clock.unix()
            if known is not None and 0 <= now - known.at < FRESH_SECONDS:
                return known.body
            body = None
            if not 0 <= now - self._failed_at < AGAIN_SECONDS:
                try:
                    body = {**await read(), "readAt": rfc3339(now), "old": False}
                except (StoreError, NoHistoryError) as error:
                    self._failed_at = now
                    self._away(error)
            if body is None:
                if known is None:
                    raise AwayError("the store of weeks does not answer")
                return {**known.body, "old": True}
            self._back()
            self._answers[key] = _Answer(body, now)
            self._answers.move_to_end(key)
            while len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
            return body

    def _away(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = self._clock.unix()
        if str(error) != self.complaint:
            _log.warning("--store: %s", error)
        self.complaint = str(error)

    def _back(self) -> None:
        if self._away_since is not None:
            _log.info("--store: it answers again")
        self._away_since = self.complaint = None
