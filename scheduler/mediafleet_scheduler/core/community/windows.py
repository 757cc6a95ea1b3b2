"""What happened in one closed window, by group and source. Pure.

A window is an hour or five minutes, aligned to UTC. It is filled from looks at what runs, each of
which counts until the next one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mediafleet_scheduler.core.community.cells import Cell
from mediafleet_scheduler.core.community.groups import Groups

HOUR_SECONDS: Final = 3600
FIVE_MINUTES_SECONDS: Final = 300


def window_start(at: float, seconds: int) -> int:
    """The start of the window that a time lies in; Unix seconds."""
    return int(at // seconds) * seconds


@dataclass(frozen=True, slots=True)
class Use:
    """What one source does at one moment."""

    source: str
    """Its name of the day: `sources.pseudonym`."""
    cell: Cell
    streams: int = 0
    """0: it only asks for nodes."""
    asks: bool = False


@dataclass(frozen=True, slots=True)
class GroupUse:
    """What a group did in a window."""

    streams: Mapping[str, float]
    """Streams of each source that had any, averaged over the time that was looked at."""
    peak: int
    """Streams at one moment, at most."""
    asking: frozenset[str]
    """Sources that asked for nodes."""


NOTHING: Final = GroupUse({}, 0, frozenset())


@dataclass(slots=True)
class Tally:
    """Counts one window as it goes by."""

    groups: Groups
    _seconds: float = 0.0
    _streams: defaultdict[Cell, defaultdict[str, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )
    _peaks: defaultdict[Cell, int] = field(default_factory=lambda: defaultdict(int))
    _asking: defaultdict[Cell, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, uses: Iterable[Use], seconds: float) -> None:
        """Take in one look, which held for so many seconds."""
        self._seconds += seconds
        now: defaultdict[Cell, int] = defaultdict(int)
        for use in uses:
            group = self.groups.of(use.cell)
            if use.streams > 0:
                now[group] += use.streams
                self._streams[group][use.source] += use.streams * seconds
            if use.asks:
                self._asking[group].add(use.source)
        for group, streams in now.items():
            self._peaks[group] = max(self._peaks[group], streams)

    def close(self) -> dict[Cell, GroupUse]:
        """What each group did; one that did nothing is left out."""
        busy = self._streams.keys() | self._asking.keys()
        return {group: self._use(group) for group in busy}

    def _use(self, group: Cell) -> GroupUse:
        streams = {
            source: total / self._seconds if self._seconds else 0.0
            for source, total in self._streams.get(group, {}).items()
        }
        asking = frozenset(self._asking.get(group, ()))
        return GroupUse(streams, self._peaks.get(group, 0), asking)
