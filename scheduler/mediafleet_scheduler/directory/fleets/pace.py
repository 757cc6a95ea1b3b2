"""When the changes of each namespace are read, so that no namespace delays another. Pure.

The first change of a namespace is read at once. The next ones gather until the work for that
namespace is a small part of the desk's time again: a storm is read as a few large changes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PaceTimes:
    """How fast changes are read; times in seconds."""

    gather_seconds: float = 0.005
    """A rollout changes many pods within moments: they are read as one."""
    rest_seconds: float = 0.05
    """A namespace whose changes were read rests for so long, or longer when that took long."""
    part: float = 0.05
    """Of the desk's time goes to reading the changes of one namespace."""
    most_rest_seconds: float = 1.0
    """No rest is longer."""


class Pace:
    """The namespaces that have changes to be read, and those that rest."""

    def __init__(self, times: PaceTimes) -> None:
        self._times = times
        self._due: dict[str, float] = {}
        self._rests_until: dict[str, float] = {}
        self._spent: dict[str, float] = {}

    def changed(self, namespace: str, now: float) -> None:
        """Something in a namespace is to be read."""
        rests_until = self._rests_until.get(namespace, now)
        self._due.setdefault(namespace, max(now + self._times.gather_seconds, rests_until))

    def waiting(self) -> set[str]:
        """The namespaces that have something to be read."""
        return set(self._due)

    def next_at(self) -> float | None:
        """When the next namespace is due; `None`: there is nothing to be read."""
        return min(self._due.values(), default=None)

    def due(self, now: float) -> str | None:
        """The namespace that has been due for the longest; `None`: none is."""
        first = min(self._due, key=lambda each: self._due[each], default=None)
        return first if first is not None and self._due[first] <= now else None

    def worked(self, namespace: str, seconds: float, now: float, *, done: bool) -> None:
        """So long was read for one; when it is not `done`, it goes on after those that wait."""
        spent = self._spent.pop(namespace, 0.0) + seconds
        if not done:
            self._due[namespace] = now
            self._spent[namespace] = spent
            return
        self._due.pop(namespace, None)
        times = self._times
        rest = min(max(times.rest_seconds, spent / times.part), times.most_rest_seconds)
        self._rests_until[namespace] = now + rest

    def forget_rested(self, now: float) -> None:
        """Namespaces come and go: keep those that rest yet."""
        self._rests_until = {
            each: until for each, until in self._rests_until.items() if until > now
        }
