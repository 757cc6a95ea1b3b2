"""Holds the Lease from a thread of its own, with a connection of its own.

Rounds that make thousands of pods keep the loop busy for seconds at a time, and a renewal that
waits for it comes too late.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from kubernetes.aio.client import Configuration

from mediafleet_common.kube.client import Api
from mediafleet_operator.kube.lease import NOT_YET, Lease

_JOIN_SECONDS: Final = 6.0

Login = Callable[[], Awaitable[Configuration]]


class LeaseThread:
    """One candidate; started once, and stopped once."""

    def __init__(self, login: Login, make: Callable[[Api], Lease]) -> None:
        self._login = login
        self._make = make
        self._lease: Lease | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._stopping = False
        self._home = asyncio.get_running_loop()
        self._acquired: asyncio.Future[None] = self._home.create_future()
        self._ended: asyncio.Future[None] = self._home.create_future()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def held(self) -> bool:
        """Whether we may work now; from any thread."""
        return self._lease is not None and self._lease.held()

    @property
    def unanswered(self) -> str | None:
        """As Lease has it; from any thread."""
        return self._lease.unanswered if self._lease is not None else NOT_YET

    async def acquire(self) -> None:
        """Wait until we hold it."""
        self._thread.start()
        await asyncio.wait({self._acquired, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            self._ended.result()

    async def keep(self) -> None:
        """Wait until it is lost.

        Raises:
            LostLeaseError: another one has it, or it could not be renewed in time.
        """
        await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Give it back, so that the next one need not wait; as well as can be."""
        if not self._thread.is_alive():
            return
        self._stopping = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:  # noqa: BLE001 - raised on the loop that waits for it
            self._resolve(self._ended, error)
        else:
            self._resolve(self._ended)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stopping:
            return
        async with Api(await self._login()) as api:
            lease = self._lease = self._make(api)
            stopping = asyncio.create_task(self._stop.wait())
            working = asyncio.create_task(self._hold(lease))
            try:
                await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
            finally:
                working.cancel()
                stopping.cancel()
                await asyncio.gather(working, stopping, return_exceptions=True)
                await lease.release()

    async def _hold(self, lease: Lease) -> None:
        await lease.acquire()
        self._resolve(self._acquired)
        await lease.keep()

    def _resolve(self, future: asyncio.Future[None], error: Exception | None = None) -> None:
        def resolve() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                # Nobody may wait for it any more.
                future.exception()

        with suppress(RuntimeError):  # the process ends
            self._home.call_soon_threadsafe(resolve)
