"""Wait for something to become true, with a deadline and a message that says what it was."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from .errors import CommandError, TestbedError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

POLL_SECONDS = 0.1


class WaitedInVainError(TestbedError, AssertionError):
    """It did not become true in time."""


def wait_for(
    what: str, look: Callable[[], Result | None], *, timeout_seconds: float = 30.0
) -> Result:
    """What `look` returns, as soon as that is true.

    A refused command counts as not yet, and is told when the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        refusal = ""
        try:
            result = look()
        except CommandError as error:
            result, refusal = None, f"; last: {error}"
        if result:
            return result
        if time.monotonic() > deadline:
            raise WaitedInVainError(f"{what}: not so after {timeout_seconds:.0f} s{refusal}")
        time.sleep(POLL_SECONDS)
