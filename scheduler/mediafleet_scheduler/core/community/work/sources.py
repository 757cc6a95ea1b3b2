"""Whose work it is, as far as those who do it know. Pure.

A source of egress is the room that is recorded; of AI tasks and of pixels, the network that the
call came from, as of streams. All work of which that is not known is of one source together, so
that it cannot make up for the sources that a figure needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from mediafleet_common.formats.ip_addresses import IpNetwork
from mediafleet_scheduler.core.community.sources import source_of
from mediafleet_scheduler.core.community.work.kinds import Family, Kind, Work, resolution

Namer = Callable[[str], str]
"""The name of the day of a source."""
EGRESS_KINDS: Final = (Kind.EGRESS_BY_TYPE, Kind.EGRESS_BY_RESOLUTION, Kind.EGRESS_MINUTES)
AI_KINDS: Final = (Kind.AI_BY_TYPE, Kind.AI_BY_MODEL)
PIXEL_KINDS: Final = (Kind.PIXELS,)
_UNKNOWN: Final = "unknown"


def egress_work(jobs: Iterable[tuple[str, str, int | None]], name: Namer) -> list[Work]:
    """Jobs that run, each by its room (empty: none), its type and the shorter side of its picture
    in pixels (`None`: it has none, or that is not known)."""
    counted = Counter(
        (name(f"room {room}" if room else _UNKNOWN), kind, resolution(lines))
        for room, kind, lines in jobs
    )
    return [
        Work(
            source,
            Family.EGRESS,
            count,
            {Kind.EGRESS_BY_TYPE: kind, Kind.EGRESS_BY_RESOLUTION: lines},
        )
        for (source, kind, lines), count in sorted(counted.items())
    ]


def ai_work(
    tasks: Iterable[tuple[str | None, str, str]],
    name: Namer,
    own_networks: Sequence[IpNetwork] = (),
) -> list[Work]:
    """Tasks that have no answer yet, each by its caller's address, its pipeline and its model."""
    counted = Counter(
        (name(source_of(None, caller, own_networks) or _UNKNOWN), pipeline, model)
        for caller, pipeline, model in tasks
    )
    return [
        Work(source, Family.AI, count, {Kind.AI_BY_TYPE: pipeline, Kind.AI_BY_MODEL: model})
        for (source, pipeline, model), count in sorted(counted.items())
    ]


def pixel_work(
    rates: Mapping[str, float], name: Namer, own_networks: Sequence[IpNetwork] = ()
) -> list[Work]:
    """Megapixels a second, by the address that the stream comes from."""
    return [
        Work(name(source_of(None, address, own_networks) or _UNKNOWN), Family.PIXELS, rate)
        for address, rate in sorted(rates.items())
    ]
