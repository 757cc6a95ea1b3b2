"""Exactly one running task for each key of a set that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)


class KeyedTasks(Mapping[Key, "asyncio.Task[None]"]):
    """The tasks by key. One that ends by itself keeps its place until its key goes."""

    def __init__(self) -> None:
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._cancelled: set[asyncio.Task[None]] = set()

    def __getitem__(self, key: Key) -> asyncio.Task[None]:
        return self._tasks[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, key: Key, work: Coroutine[Any, Any, None], name: str | None = None
    ) -> asyncio.Task[None]:
        """Start the task of a key that has none, or whose task has ended."""
        task = asyncio.create_task(work, name=name)
        self._tasks[key] = task
        return task

    def keep_only(self, wanted: Collection[Key]) -> list[Key]:
        """Cancel the tasks of all other keys, without waiting for them; the keys that went."""
        return self.drop([key for key in self._tasks if key not in wanted])

    def drop(self, unwanted: Iterable[Key]) -> list[Key]:
        """Cancel the tasks of these keys, without waiting for them; the keys that had one."""
        gone = [key for key in unwanted if key in self._tasks]
        for key in gone:
            task = self._tasks.pop(key)
            # Held until it has ended, so that `close` can wait for it.
            self._cancelled.add(task)
            task.add_done_callback(self._cancelled.discard)
            task.cancel()
        return gone

    async def close(self) -> None:
        """Cancel all and wait until each has ended, those cancelled before too."""
        self.keep_only(())
        await asyncio.gather(*self._cancelled, return_exceptions=True)
