"""What GetOrchestrator returns, asked over and over as a gateway would ask."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from mediafleet_common.formats.node_url import parse_node_url
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo

EVERY_SECONDS: Final = 0.02
_ANSWER_SECONDS: Final = 1.0


class Lister:
    """Asks one entry for its nodes, as an async context manager."""

    def __init__(self, url: str, answer_seconds: float = _ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._client = NodeClient(parse_node_url(url))

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def ask(self) -> set[str] | None:
        """The nodes listed now; `None` when nobody answers."""
        answer = await self._client.orchestrator_info(self._answer_seconds)
        return None if answer is None else set(OrchestratorInfo.FromString(answer).nodes)


@dataclass(frozen=True, slots=True)
class Turn:
    """A node came on the list, or went off it."""

    at: float
    """Unix seconds at which an answer first said so."""
    url: str
    listed: bool


class ListWatch:
    """Follows a list, as an async context manager."""

    def __init__(self, lister: Lister) -> None:
        self.turns: list[Turn] = []
        self.unanswered = 0
        self._lister = lister
        self._now: set[str] = set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="list-watch")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def listed(self) -> frozenset[str]:
        """What the last answer said."""
        return frozenset(self._now)

    def first(self, url: str, *, listed: bool, since: float) -> float | None:
        """When a node first came on the list, or went off it, after a time."""
        turns = (turn for turn in self.turns if turn.url == url and turn.at >= since)
        return next((turn.at for turn in turns if turn.listed is listed), None)

    async def _follow(self) -> None:
        while True:
            answer, now = await self._lister.ask(), time.time()
            if answer is None:
                self.unanswered += 1
            else:
                self.turns += [Turn(now, url, True) for url in sorted(answer - self._now)]
                self.turns += [Turn(now, url, False) for url in sorted(self._now - answer)]
                self._now = answer
            await asyncio.sleep(EVERY_SECONDS)
