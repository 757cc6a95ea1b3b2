"""The newest view and those who want to hear of the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

ViewT = TypeVar("ViewT")


class Publisher(Generic[ViewT]):
    """What every directory does with a view it has made."""

    def __init__(self) -> None:
        self._view: ViewT | None = None
        self._listeners: list[Callable[[ViewT], None]] = []

    @property
    def view(self) -> ViewT | None:
        """The newest view, `None` before the first one."""
        return self._view

    @property
    def complaint(self) -> str | None:
        """Why its source cannot be read at present; `None`: it can, or that is not known."""
        return None

    def subscribe(self, listener: Callable[[ViewT], None]) -> None:
        """Call `listener` with each new view from now on, and at once if there is one."""
        self._listeners.append(listener)
        if self._view is not None:
            listener(self._view)

    def publish(self, view: ViewT) -> bool:
        """Make `view` the newest one; whether it says anything new."""
        if view == self._view:
            return False
        self._view = view
        for listener in self._listeners:
            listener(view)
        return True
