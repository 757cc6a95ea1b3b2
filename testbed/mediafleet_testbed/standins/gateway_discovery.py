"""How a gateway finds nodes, as go-livepeer does: discovery/discovery.go, GetOrchestrators.

What matters to us of it: only the first `extra_nodes` entries of a list are visited, by position,
dead or not; an entry seen before (as a string, top-level ones included) or not parseable leaves
its place unused; nodes of nodes are not followed; and the loop waits for as many answers as there
are places, so a short list makes it wait for a time-out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo

CUT_OFF_SECONDS: Final = 6.0

Ask = Callable[[str], Awaitable[OrchestratorInfo | None]]
"""GetOrchestrator at a URL; `None` when it fails."""


def _any_will_do(_: OrchestratorInfo) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Found:
    """A node that takes work."""

    url: str
    """Where it was asked."""
    info: OrchestratorInfo
    latency_seconds: float


class Clock(Protocol):
    """Seconds that only go on."""

    def __call__(self) -> float: ...


@dataclass(slots=True)
class Discovery:
    """One round."""

    ask: Ask
    extra_nodes: int
    timeout_seconds: float = 0.5
    clock: Clock = time.monotonic
    compatible: Callable[[OrchestratorInfo], bool] = _any_will_do
    """Whether a node can do what is wanted, as far as discovery looks."""
    visited: list[str] = field(default_factory=list)
    """In the order in which they were asked."""
    _answers: asyncio.Queue[Found | None] = field(default_factory=asyncio.Queue)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)

    async def run(self, orchestrators: Sequence[str], wanted: int) -> list[Found]:
        """Up to `wanted` nodes that take work, quickest first."""
        places = len(orchestrators) * (self.extra_nodes + 1)
        self._seen.update(orchestrators)
        for url in orchestrators:
            self._visit(url, level=0)
        try:
            found = await self._gather(places, min(places, wanted))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return sorted(found, key=lambda node: node.latency_seconds)

    async def _gather(self, places: int, wanted: int) -> list[Found]:
        found: list[Found] = []
        answers = 0
        pause = self.timeout_seconds
        began = self.clock()
        timer, cut_off = began + pause, began + CUT_OFF_SECONDS
        while answers < places and len(found) < wanted:
            left = min(timer, cut_off) - self.clock()
            try:
                answer = await asyncio.wait_for(self._answers.get(), max(0.0, left))
            except TimeoutError:
                if found or self.clock() >= cut_off:
                    break
                # The first time-out is waited twice, then doubled, as the original does.
                timer = self.clock() + pause
                pause = min(pause * 2, CUT_OFF_SECONDS)
                continue
            answers += 1
            if answer is not None:
                found.append(answer)
        return found

    def _visit(self, url: str, level: int) -> None:
        self.visited.append(url)
        task = asyncio.create_task(self._asked(url, level))
        self._tasks.add(task)

    async def _asked(self, url: str, level: int) -> None:
        began = self.clock()
        info = await self.ask(url)
        latency = self.clock() - began
        if info is not None and level == 0:
            for node in info.nodes[: self.extra_nodes]:
                if node in self._seen:
                    continue
                self._seen.add(node)
                if _go_parses(node):
                    self._visit(node, level + 1)
        works = info is not None and info.transcoder != "" and self.compatible(info)
        self._answers.put_nowait(Found(url, info, latency) if info and works else None)


def _go_parses(url: str) -> bool:
    """Whether Go's url.Parse takes it, as far as it matters here."""
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in url) or url.startswith(":"):
        return False
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    return port is None or port >= 0
