"""Streams by the address that they come from, as a door or a node tells it. Pure.

Addresses are arguments and results here and nowhere else: what is kept are names of the day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

PIXELS: Final = "livepeer_mil_pixels_processed"
"""The counter of an orchestrator that has `client_ip`, under -metricsClientIP, and `manifest_id`
too under -metricsPerStream (livepeer/go-livepeer monitor/census.go)."""
_ADDRESS, _STREAM = "client_ip", "manifest_id"

Labels = tuple[str, str]
"""Address and stream."""


def at_door(keys: Iterable[str]) -> Counter[str]:
    """Streams by source, from the keys of the door's table: `ADDRESS|STREAM`."""
    found = {each.partition("|")[::2] for each in keys}
    return Counter(address for address, stream in found if address and stream)


def pixels_by_stream(series: Iterable[tuple[Mapping[str, str], float]]) -> dict[Labels, float]:
    """The node's counter by address and stream; a series without an address is left out."""
    found: dict[Labels, float] = {}
    for labels, value in series:
        if address := labels.get(_ADDRESS):
            key = address, labels.get(_STREAM, "")
            found[key] = found.get(key, 0.0) + value
    return found


def by_client_ip(before: Mapping[Labels, float], now: Mapping[Labels, float]) -> Counter[str]:
    """Streams by address that were worked on between two readings of the node's counter.

    Without -metricsPerStream all streams of an address are one. A counter that fell is of a node
    that has started anew.
    """
    busy = [key for key, value in now.items() if _rise(before.get(key, 0.0), value) > 0]
    return Counter(address for address, _ in busy)


def pixel_rates(
    before: Mapping[Labels, float], now: Mapping[Labels, float], seconds: float
) -> dict[str, float]:
    """Megapixels a second by address between two readings that were so many seconds apart.

    A stream that was not there before has begun since.
    """
    rates: dict[str, float] = {}
    for key, value in now.items():
        if (rise := _rise(before.get(key, 0.0), value)) > 0:
            rates[key[0]] = rates.get(key[0], 0.0) + rise / seconds
    return rates


def _rise(before: float, now: float) -> float:
    return now - before if now >= before else now
