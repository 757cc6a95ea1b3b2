"""What the page of the world map shows: sums over those who share, hour by hour. Pure.

The page has no names of operators and no addresses; how many do not share is said with each view.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final

from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.core.community.cells import named
from mediafleet_scheduler.core.community.collecting import Group, Summary, origin_row, together
from mediafleet_scheduler.core.community.work.kinds import TITLES

HOURS: Final = 24
_BIN: Final = re.compile(r"([0-9]{2})([+-][0-9]{2})([+-][0-9]{3})")


def world_view(
    summaries: Collection[Summary],
    unknown: int,
    now: float,
    beside: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """What is known of the last 24 hours that are over.

    Args:
        summaries: of each operator that shares.
        unknown: operators that share nothing or did not answer.
        now: Unix seconds.
        beside: what is shown beside the sums, and is in none of them.
    """
    by_name = {str(number): each for number, each in enumerate(summaries)}
    newest = int(now // 3600 - 1) * 3600
    view = together(by_name, ())
    starts = [rfc3339(newest - 3600 * back) for back in range(HOURS - 1, -1, -1)]
    return {
        "shared": len(summaries),
        "unknown": unknown,
        "regions": [asdict(each) for each in view.regions],
        "work": [{**asdict(each), "title": TITLES[each.kind]} for each in view.work],
        "days": [_placed(each.origin, asdict(each)) for each in view.days if _is_cell(each.origin)],
        "hours": [_hour(start, summaries) for start in starts],
        **beside,
    }


def _hour(start: str, summaries: Collection[Summary]) -> dict[str, Any]:
    published = [hour for each in summaries for hour in each.hours if hour.start == start]
    groups: defaultdict[str, list[Group]] = defaultdict(list)
    for hour in published:
        for name, group in hour.groups.items():
            if _is_cell(name):
                groups[name].append(group)
    return {
        "start": start,
        "operators": len(published),
        "groups": [_group(name, groups) for name in sorted(groups)],
    }


def _group(name: str, groups: Mapping[str, list[Group]]) -> dict[str, Any]:
    return _placed(name, asdict(origin_row(name, groups[name])))


def _placed(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row, with the corner of its bin."""
    found = _BIN.fullmatch(name)
    size, south, west = (int(each) for each in found.groups()) if found else (None, None, None)
    return {**row, "size": size, "south": south, "west": west}


def _is_cell(name: str) -> bool:
    try:
        named(name)
    except ValueError:
        return False
    return True
