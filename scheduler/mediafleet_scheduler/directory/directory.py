"""The seam by which desks learn what fleets, pools and pods there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from mediafleet_common.serving.logs import printable

ViewT_co = TypeVar("ViewT_co", covariant=True)


def not_known(what: str, complaint: str | None) -> str:
    """Why a desk is not ready before the first view, for `/readyz`."""
    because = f": {printable(complaint, 500)}" if complaint else ""
    return f"{what} not known yet{because}"


class Directory(Protocol[ViewT_co]):
    """Tells what there is, and goes on telling.

    A directory that loses its source keeps the last view: an unreachable API server or a broken
    file changes nothing that runs.
    """

    @property
    def view(self) -> ViewT_co | None:
        """The newest view, `None` before the first one."""

    @property
    def complaint(self) -> str | None:
        """Why its source cannot be read at present; `None`: it can, or that is not known."""

    def subscribe(self, listener: Callable[[ViewT_co], None]) -> None:
        """Call `listener` with each new view from now on, and at once if there is one."""

    async def run(self) -> None:
        """Follow the source until cancelled."""
