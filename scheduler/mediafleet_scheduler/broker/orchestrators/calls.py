"""Calls to one orchestrator, as the holder of its -orchSecret."""

from __future__ import annotations

import binascii
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.broker.metrics import BrokerMetrics
from mediafleet_scheduler.broker.orchestrators.entries import OrchestratorEntry

_CALL_SECONDS: Final = 5.0
_MOST_WORDS: Final = 64 * 1024


class CallError(Exception):
    """An orchestrator could not be told; the text says why and is fit to print."""

    def __init__(self, words: str, *, away: bool = False) -> None:
        super().__init__(words)
        self.away = away
        """Whether it does not answer at all."""


async def tell_each(names: Iterable[str], tell: Callable[[str], Awaitable[None]]) -> None:
    """Tell an orchestrator of each name; one that it refuses holds up no other.

    Raises:
        CallError: it does not answer, so no more is tried; or, after all, the first refusal.
    """
    failed: CallError | None = None
    for name in names:
        try:
            await tell(name)
        except CallError as error:
            if error.away:
                raise
            failed = failed or error
    if failed is not None:
        raise failed


@dataclass(frozen=True, slots=True)
class Answer:
    """What an orchestrator answered."""

    status: int
    body: bytes


class Calls:
    """Told to one orchestrator by its HTTP API, within a bound of time."""

    def __init__(
        self,
        entry: OrchestratorEntry,
        secret: Callable[[], str],
        session: aiohttp.ClientSession,
        metrics: BrokerMetrics,
        token: Callable[[], str | None],
    ) -> None:
        """`token` is what its jobs come with."""
        self._token = token
        self.entry: Final = entry
        self.secret: Final = secret
        """Its -orchSecret."""
        self._session = session
        self._metrics = metrics
        pinned = entry.fingerprint
        self._tls = aiohttp.Fingerprint(binascii.unhexlify(pinned)) if pinned else True
        self._shown: set[tuple[str, str]] = set()

    async def register(self, capability: Mapping[str, object]) -> None:
        """Register a capability, in place of the one of its name.

        Raises:
            CallError: it was not taken.
        """
        await self._accepted("/capability/register", json=capability)

    async def unregister(self, name: str) -> None:
        """Take a capability back; harmless when it is not there.

        Raises:
            CallError: the orchestrator did not hear it.
        """
        await self._accepted("/capability/unregister", data=name)

    async def _accepted(self, path: str, **body: object) -> None:
        answer = await self.post(path, self.secret(), **body)
        if answer.status != 200:
            raise CallError(f"{path}: HTTP {answer.status}: {self.said(answer)}")

    def said(self, answer: Answer, *secrets: str) -> str:
        """What was answered, fit for a log: without what it knows of us and may repeat."""
        return self._without(answer.body.decode(errors="replace").strip(), *secrets)

    def _without(self, text: str, *secrets: str) -> str:
        for each in (self.secret(), self._token(), *secrets):
            text = text.replace(each, "***") if each else text
        return printable(text)

    async def post(self, path: str, authorization: str, **body: object) -> Answer:
        """One call.

        Raises:
            CallError: there was no answer.
        """
        url = self.entry.url.rstrip("/") + path
        limit = aiohttp.ClientTimeout(total=_CALL_SECONDS)
        headers = {"Authorization": authorization}
        try:
            async with self._session.post(
                url,
                headers=headers,
                timeout=limit,
                ssl=self._tls,
                allow_redirects=False,
                **body,  # type: ignore[arg-type]
            ) as response:
                answer = Answer(response.status, await response.content.read(_MOST_WORDS))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._count("unreachable")
            said = self._without(str(error), authorization) or type(error).__name__
            # A connection that it breaks is an answer: it does so at a currency it does not know.
            away = not isinstance(error, aiohttp.ServerDisconnectedError)
            raise CallError(f"{path}: {said}", away=away) from error
        self._count("ok" if answer.status < 300 else "refused")
        return answer

    def show(self, door: str, name: str, *, registered: bool) -> None:
        """Set the gauge of one model."""
        self._shown.add((door, name))
        self._metrics.registered.labels(self.entry.url, door, name).set(registered)

    def hide(self) -> None:
        """The orchestrator is ours no more: no gauge tells of it."""
        for door, name in self._shown:
            self._metrics.registered.remove(self.entry.url, door, name)
        self._shown.clear()

    def _count(self, result: str) -> None:
        self._metrics.calls.labels(self.entry.url, result).inc()
