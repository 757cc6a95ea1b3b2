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

    def get(self, uid: str) -> T | None:
        """The newest sighting of one; `None`: there is none."""
        known = self._seen.get(uid)
        return None if known is None else known[1]

    def at(self, uid: str, version: int) -> T | None:
        """What was seen of one at `version` or later; `None`: nothing."""
        known = self._seen.get(uid)
        return None if known is None or known[0] < version else known[1]

    def put(self, uid: str, version: int, item: T) -> bool:
        """An object was seen; whether that is news."""
        known = self._seen.get(uid)
        if uid in self._deleted or (known is not None and known[0] > version):
            return False
        self._seen[uid] = (version, item)
        return known is None or known[1] is not item

    def remove(self, uid: str, version: int) -> bool:
        """An object was deleted, as of `version`; whether it was there."""
        self._deleted[uid] = version
        return self._seen.pop(uid, None) is not None

    def take_list(
        self, version: int, items: Iterable[tuple[str, int, T]], unread: Iterable[str] = ()
    ) -> set[str]:
        """All objects as of `version`: what was seen before that and is not among them is gone.

        `unread` are uids of objects that exist and cannot be read: they stay as they were. Returns
        the uids of those of which this is news.
        """
        present = list(items)
        uids = {uid for uid, _, _ in present} | set(unread)
        gone = {uid for uid, (seen, _) in self._seen.items() if uid not in uids and seen <= version}
        for uid in gone:
            del self._seen[uid]
        changed = {sighting[0] for sighting in present if self.put(*sighting)}
        # An older list than the deletion says nothing of it, and a still older one may follow.
        self._deleted = {
            uid: at for uid, at in self._deleted.items() if uid in uids or at > version
        }
        return gone | changed
