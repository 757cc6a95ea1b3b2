"""How much an object holds, and where: for tests that what was made and deleted leaves nothing."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

_OURS: Final = ("mediafleet", "prometheus_client")
"""Packages whose objects are looked into."""


def sizes(*roots: object) -> dict[str, int]:
    """Elements of all collections that can be reached through our own objects, by the way there."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    left: list[tuple[str, Any]] = [(type(root).__name__, root) for root in roots]
    while left:
        way, each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        inner = list(_inside(each))
        if isinstance(each, Mapping | Set | list | deque):
            found[way] += len(each)
        left += [(f"{way}{step}", value) for step, value in inner]
    return {way: count for way, count in found.items() if count}


def _inside(each: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(each, Mapping):
        yield from (("{}", value) for value in each.values())
    elif isinstance(each, list | tuple | deque | Set):
        yield from (("[]", value) for value in each)
    elif type(each).__module__.startswith(_OURS):
        slots = (
            name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ()) or ()
        )
        for name in {*getattr(each, "__dict__", ()), *slots}:
            yield f".{name}", getattr(each, name, None)
