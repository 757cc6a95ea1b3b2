"""Counts looks into windows, and closes each window once. Pure: the time is an argument.

The hour's groups are those of its UTC day. The five minutes of an hour are published with the hour,
since only then is known which groups may be published. The operator's own total is not by origin:
it is published every five minutes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mediafleet_scheduler.core.community.cells import Cell
from mediafleet_scheduler.core.community.groups import Groups, fix_groups
from mediafleet_scheduler.core.community.publishing import (
    HourRecord,
    OwnFigures,
    publish,
    rounded,
    streaming,
)
from mediafleet_scheduler.core.community.windows import (
    FIVE_MINUTES_SECONDS,
    HOUR_SECONDS,
    GroupUse,
    Tally,
    Use,
    window_start,
)
from mediafleet_scheduler.core.community.work.counting import WorkCounting
from mediafleet_scheduler.core.community.work.kinds import Family, Work

DAY_SECONDS: Final = 86_400
_PARTS: Final = HOUR_SECONDS // FIVE_MINUTES_SECONDS


@dataclass(slots=True)
class _Own:
    """Streams of the operator's own region in one window."""

    looks: list[tuple[float, int, Mapping[Cell, int]]] = field(default_factory=list)
    """Seconds that each held, streams, and those of them whose group is known."""

    def add(self, streams: int, seconds: float, by_group: Mapping[Cell, int]) -> None:
        self.looks.append((seconds, streams, by_group))

    def figures(self, told: Container[Cell]) -> OwnFigures | None:
        """Without the streams of groups that are not told: they would be the difference."""
        seconds = math.fsum(held for held, _, _ in self.looks)
        if not seconds:
            return None
        shown = [
            max(0, streams - sum(n for group, n in by_group.items() if group not in told))
            for _, streams, by_group in self.looks
        ]
        total = math.fsum(each * held for each, (held, _, _) in zip(shown, self.looks, strict=True))
        return OwnFigures(rounded(total / seconds), rounded(max(shown)))


class Counting:
    """The windows that are open."""

    def __init__(
        self,
        now: float,
        k: int,
        groups: Groups | None = None,
        work: WorkCounting | None = None,
    ) -> None:
        self.k = k
        self.work = work or WorkCounting((), k)
        """Of further groups; by default none."""
        self.groups = groups or Groups()
        """Of the day; by default the world alone, as on the first day."""
        self.own_now: OwnFigures | None = None
        """Of the last five minutes that closed; `None`: not known."""
        self._seen: defaultdict[Cell, set[str]] = defaultdict(set)
        self._begin_hour(now)

    def look(
        self, now: float, uses: Iterable[Use] | None, own_streams: int | None, seconds: float
    ) -> HourRecord | None:
        """Take in what runs now and has for so many seconds; the record of an hour that closed.

        Args:
            now: Unix seconds, not before the look before.
            uses: what is known of each source; `None`: sources are not known now.
            own_streams: streams of the own region; `None`: unknown, which is no zero.
            seconds: since the look before; 0 after a gap, which is not filled.
        """
        record = self._close_due(now)
        looked = list(uses or ())
        by_group = Counter[Cell]()
        for use in looked:
            self._seen[use.cell].add(use.source)
            if use.streams > 0:
                by_group[self.groups.of(use.cell)] += use.streams
        if uses is not None:
            for tally in (self._hour, self._part):
                tally.add(looked, seconds)
        if own_streams is not None:
            for own in (self._own_hour, self._own_part):
                own.add(own_streams, seconds, by_group)
        return record

    def look_at_work(
        self, work: Iterable[Work], families: Iterable[Family], seconds: float
    ) -> None:
        """Take in, after `look`, what runs of those families now and has for so many seconds."""
        self.work.look(work, families, seconds)

    def is_new_day(self, now: float) -> bool:
        """Whether a look now would be the first of its UTC day: sources get new names then."""
        return window_start(now, DAY_SECONDS) != window_start(self._hour_start, DAY_SECONDS)

    def _close_due(self, now: float) -> HourRecord | None:
        if window_start(now, FIVE_MINUTES_SECONDS) == self._part_start:
            return None
        self._parts[(self._part_start - self._hour_start) // FIVE_MINUTES_SECONDS] = (
            self._part.close()
        )
        # After a gap the part before the gap is not "the last five minutes".
        gap = now - self._part_start >= 2 * FIVE_MINUTES_SECONDS
        self.own_now = None if gap else self._own_part.figures(told=())
        record = None
        if window_start(now, HOUR_SECONDS) != self._hour_start:
            hour, work = self._hour.close(), self.work.close_hour()
            own = self._own_hour.figures(told=streaming(hour, self.k))
            record = publish(self._hour_start, hour, self._parts, self.k, own, work)
            if self.is_new_day(now):
                self.work.begin_day()
                self.groups = fix_groups(self._seen, self.k)
                self._seen.clear()
            self._begin_hour(now)
        self._begin_part(now)
        return record

    def _begin_hour(self, now: float) -> None:
        self._hour_start = window_start(now, HOUR_SECONDS)
        self._hour, self._own_hour = Tally(self.groups), _Own()
        self._parts: list[Mapping[Cell, GroupUse]] = [{} for _ in range(_PARTS)]
        self._begin_part(now)

    def _begin_part(self, now: float) -> None:
        self._part_start = window_start(now, FIVE_MINUTES_SECONDS)
        self._part, self._own_part = Tally(self.groups), _Own()
