"""Objects of one kind as they were last seen, from events and whole lists. Pure.

Both may be late. The resourceVersion decides which of two sightings is newer: within a kind
they grow, and may be compared by contract since Kubernetes 1.35 (KEP-5504).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class ObjectStore(Generic[T]):
    """The newest sighting of each object, by uid."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, T]] = {}
        self._deleted: dict[str, int] = {}
        """Known to be gone, since which version, and perhaps still in a list that is on its way.
        A uid is never used again."""

    @property
    def items(self) -> list[T]:
        """All objects, in no order."""
        return [item for _, item in self._seen.values()]

    def put(self, uid: str, version: int, item: T) -> None:
        """An object was seen."""
        known = self._seen.get(uid)
        if uid not in self._deleted and (known is None or known[0] <= version):
            self._seen[uid] = (version, item)

    def remove(self, uid: str, version: int) -> None:
        """An object was deleted, as of `version`."""
        self._seen.pop(uid, None)
        self._deleted[uid] = version

    def take_list(
        self, version: int, items: Iterable[tuple[str, int, T]], unread: Iterable[str] = ()
    ) -> None:
        """All objects as of `version`: what was seen before that and is not among them is gone.

        `unread` are uids of objects that exist and cannot be read: they stay as they were.
        """
        present = list(items)
        uids = {uid for uid, _, _ in present} | set(unread)
        for uid, (seen, _) in list(self._seen.items()):
            if uid not in uids and seen <= version:
                del self._seen[uid]
        for sighting in present:
            self.put(*sighting)
        # An older list than the deletion says nothing of it, and a still older one may follow.
        self._deleted = {
            uid: at for uid, at in self._deleted.items() if uid in uids or at > version
        }
