"""Which rooms a fleet takes, by their names: `vip-*`; `!vip-test` for those it does not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RoomNames:
    """Patterns of the names that are taken and not taken; `*` stands for any text."""

    taken: tuple[str, ...] = ()
    """Empty: all."""
    not_taken: tuple[str, ...] = ()

    def take(self, room: str) -> bool:
        """Whether a room is taken; an empty name is that of a request without a room."""
        if any(matches(each, room) for each in self.not_taken):
            return False
        # No room is none of those that are named, not even of `*`.
        return not self.taken or bool(room and any(matches(each, room) for each in self.taken))


ALL_ROOMS: Final = RoomNames()


def room_names(patterns: Iterable[str]) -> RoomNames:
    """What a fleet's `rooms` say."""
    patterns = tuple(patterns)
    return RoomNames(
        tuple(each for each in patterns if not each.startswith("!")),
        tuple(each.removeprefix("!") for each in patterns if each.startswith("!")),
    )


def matches(pattern: str, room: str) -> bool:
    """Whether a name is all of a pattern.

    Each piece between two stars is sought once, as far left as it is found: more stars cost no more
    than one more search, where a regular expression would try every way to share out the name.
    """
    first, *others = pattern.split("*")
    if not others:
        return room == first
    *middle, last = others
    if not room.startswith(first) or not room.endswith(last):
        return False
    at, end = len(first), len(room) - len(last)
    for piece in middle:
        found = room.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return at <= end
