"""Drawings of who imports whom, made by grimp, as Mermaid flowcharts for docs/architecture.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final

import grimp

PACKAGES: Final = (
    "mediafleet",
    "mediafleet_common",
    "mediafleet_operator",
    "mediafleet_scheduler",
)
SUBJECTS: Final = (
    "mediafleet_scheduler",
    "mediafleet_scheduler.core",
    "mediafleet_scheduler.core.egress",
    "mediafleet_scheduler.egress",
    "mediafleet_operator",
)
"""What is drawn, each by the folders and files in it."""


@cache
def graph() -> grimp.ImportGraph:
    """Every import of the product."""
    return grimp.build_graph(*PACKAGES)


def rooms(subject: str) -> Mapping[str, frozenset[str]]:
    """Folder or file of a subject -> those of the same subject that it imports, by short name."""
    children = sorted(graph().find_children(subject))
    found: dict[str, frozenset[str]] = {}
    for child in children:
        imported = {
            target
            for module in {child, *graph().find_descendants(child)}
            for target in graph().find_modules_directly_imported_by(module)
        }
        found[_short(child)] = frozenset(
            _short(other)
            for other in children
            if other != child
            and any(each == other or each.startswith(f"{other}.") for each in imported)
        )
    return found


def longest(arrows: Mapping[str, frozenset[str]]) -> Sequence[str]:
    """The longest chain of imports; no name stands twice on it, also where there is a circle."""

    def chains(chain: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield chain
        for target in arrows[chain[-1]] - {*chain}:
            yield from chains((*chain, target))

    return max((chain for name in arrows for chain in chains((name,))), key=len, default=())


def drawing() -> str:
    """All drawings, with a heading each."""
    parts = []
    for subject in SUBJECTS:
        arrows = rooms(subject)
        lines = [
            f"  {name}[{name}] --> {target}[{target}]"
            for name in sorted(arrows)
            for target in sorted(_direct(arrows, name))
        ]
        parts.append(f"`{subject}`:\n\n```mermaid\nflowchart TD\n" + "\n".join(lines) + "\n```\n")
    return "\n".join(parts)


def _direct(arrows: Mapping[str, frozenset[str]], name: str) -> frozenset[str]:
    """Imports that no longer chain shows already: fewer arrows say the same."""
    further = {
        target
        for each in arrows[name]
        # In a circle every arrow counts.
        if name not in reached(arrows, each)
        for target in reached(arrows, each)
    }
    return frozenset(each for each in arrows[name] if each not in further)


def reached(arrows: Mapping[str, frozenset[str]], name: str) -> frozenset[str]:
    """All that a folder or file imports, itself or by what it imports."""
    found: set[str] = set()
    ahead = [*arrows[name]]
    while ahead:
        each = ahead.pop()
        if each not in found:
            found.add(each)
            ahead += arrows[each]
    return frozenset(found)


def _short(module: str) -> str:
    return module.rpartition(".")[2]
