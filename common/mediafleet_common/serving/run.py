"""Run a command's coroutine until it ends or a signal stops the process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import uvloop

T = TypeVar("T")
U = TypeVar("U")

_log: Final = logging.getLogger(__name__)
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_COLLECT_AFTER: Final = (10_000, 5, 500)
"""Objects are made by the thousand for a moment only, and are freed without the collector. But each
malformed HTTP request leaves a circle (aiohttp: an error that its own traceback holds), with all
that was read for it: those that outlive the first look are looked at soon again, which costs
little, as they are few. To look at all there is stays rare."""

_SWITCH_SECONDS: Final = 0.0005
"""Python's own is 5 ms: so long does the loop wait for the interpreter, after each wait for a
message, while the thread that watches Kubernetes has much to read."""


class CannotStartError(Exception):
    """What was asked for cannot be started; each argument tells a person one reason."""

    def __str__(self) -> str:
        return "; ".join(map(str, self.args))


class Start:
    """What a process is started with. All that is wrong with it is said at once."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    @property
    def fails(self) -> bool:
        """Whether anything was wrong so far."""
        return bool(self._problems)

    def of(self, make: Callable[[], T], otherwise: U) -> T | U:
        """What `make` returns; `otherwise` where it raises CannotStartError, which is kept."""
        try:
            return make()
        except CannotStartError as error:
            self._problems += map(str, error.args)
            return otherwise

    def add(self, problem: str) -> None:
        """Keep one that was found by other means."""
        self._problems.append(problem)

    def end(self) -> None:
        """All was looked at.

        Raises:
            CannotStartError: with everything that was wrong.
        """
        if self._problems:
            raise CannotStartError(*self._problems)


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main` on uvloop and return the exit code: 0 when it returns, 1 when it cannot start.

    SIGTERM and SIGINT set the event that `main` gets, upon which it has to clean up and return; a
    second signal ends the process at once with 128 + its number.
    """
    calm_collector()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        uvloop.run(_until_stopped(main))
    except CannotStartError as error:
        for problem in error.args:
            _log.critical("%s", problem)
        return 1
    return 0


def calm_collector() -> None:
    """Spare what was imported from being collected.

    It stays: to look through it again and again would stop the event loop for some 0.1 s each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        _log.info("%s: stopping", number.name)
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        await main(stop)
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
