"""Many plans beside each other, and what went wrong in which."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

PlanT = TypeVar("PlanT")
EndT = TypeVar("EndT")


async def lived_all(
    plans: Sequence[PlanT], live: Callable[[PlanT], Awaitable[EndT]], at_a_time: int
) -> list[EndT | Exception]:
    """How each ended, in their order; so many run at a time."""
    turns = asyncio.Semaphore(at_a_time)

    async def one(plan: PlanT) -> EndT | Exception:
        async with turns:
            try:
                return await live(plan)
            except Exception as error:  # noqa: BLE001 - each plan's own verdict, told together
                return error

    return await asyncio.gather(*(one(plan) for plan in plans))


def failures(what: Iterable[object], ended: Iterable[object]) -> dict[str, str]:
    """What went wrong, by plan."""
    both = zip(what, ended, strict=True)
    return {str(each): repr(said) for each, said in both if isinstance(said, Exception)}


def good(ended: Iterable[EndT | Exception]) -> list[EndT]:
    """Those that ended as they should."""
    return [said for said in ended if not isinstance(said, Exception)]


def folders(parent: Path) -> Iterator[Path]:
    """A new one for each plan."""
    for number in itertools.count():
        made = parent / str(number)
        made.mkdir()
        yield made
