"""When each node was first seen to be what."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mediafleet_testbed.story.cluster import SeenPod


@dataclass(slots=True)
class Timeline:
    """First sightings by node name, in seconds since the beginning."""

    began: float = field(default_factory=time.monotonic)
    names: dict[str, str] = field(default_factory=dict)
    """Node by URL."""
    listed: dict[str, float] = field(default_factory=dict)
    unlisted: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    draining: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    """Deleted, or its deletion begun."""
    lists: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    """Every change of the list of URLs."""

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def note_list(self, urls: tuple[str, ...]) -> bool:
        """Note an answer of GetOrchestrator; whether the list has changed."""
        before = set(self.lists[-1][1]) if self.lists else set[str]()
        if self.lists and set(urls) == before:
            return False
        now = self.now()
        for url in set(urls) - before:
            self.listed.setdefault(self.names.get(url, url), now)
        for url in before - set(urls):
            self.unlisted.setdefault(self.names.get(url, url), now)
        self.lists.append((now, urls))
        return True

    def note_pods(self, pods: list[SeenPod]) -> None:
        """Note what the API server says of the pods."""
        now = self.now()
        for pod in pods:
            if pod.address:
                self.names[pod.address] = pod.name
            if pod.ready:
                self.ready.setdefault(pod.name, now)
            if pod.state == "draining":
                self.draining.setdefault(pod.name, now)
        staying = {pod.name for pod in pods if not pod.deleting}
        for name in self.ready.keys() - staying:
            self.gone.setdefault(name, now)

    def left_the_list(self) -> set[str]:
        """Nodes that were listed and are not any more."""
        return set(self.unlisted)

    def slowest(self, since: Mapping[str, float], until: Mapping[str, float]) -> float | None:
        """The longest way from one sighting to the other; `None` when nobody has made it.

        Not below 0: two watchers see things in turn.
        """
        ways = [max(0.0, until[name] - since[name]) for name in since if name in until]
        return max(ways, default=None)
