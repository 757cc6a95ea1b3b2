"""Which rooms a fleet takes, by their names: `vip-*`; `!vip-test` for those it does not. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True)
class RoomNames:
    """Patterns of the names that are taken and not taken; `*` stands for any text."""

    taken: tuple[str, ...] = ()
    """Empty: all."""
    not_taken: tuple[str, ...] = ()

    def take(self, room: str) -> bool:
        """Whether a room is taken; an empty name is that of a request without a room."""
        if any(_pattern(each).fullmatch(room) for each in self.not_taken):
            return False
        # No room is none of those that are named, not even of `*`.
        return not self.taken or bool(
            room and any(_pattern(each).fullmatch(room) for each in self.taken)
        )


ALL_ROOMS: Final = RoomNames()


def room_names(patterns: Iterable[str]) -> RoomNames:
    """What a fleet's `rooms` say."""
    patterns = tuple(patterns)
    return RoomNames(
        tuple(each for each in patterns if not each.startswith("!")),
        tuple(each.removeprefix("!") for each in patterns if each.startswith("!")),
    )


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)
