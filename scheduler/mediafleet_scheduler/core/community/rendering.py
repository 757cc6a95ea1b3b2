"""What is shared, as Prometheus text and as JSON. Pure.

Both show the same frozen records, and nothing beside them. What is not published has no line and no
key: zero and "too few" look the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.core.community.cells import Cell
from mediafleet_scheduler.core.community.publishing import (
    DayFigures,
    Figures,
    HourRecord,
    OwnFigures,
    Range,
    day_of_all,
    days,
    own_day,
    totals,
)

VERSION: Final = 1
DAY_HOURS: Final = 24
_HEADS: Final = {
    "mediafleet_community_own_streams": "Streams in the operator's own region.",
    "mediafleet_community_hour_start_seconds": "Start of the hour that is published, Unix time.",
    "mediafleet_community_streams": "Streams by group, in that hour (rounded to 5) or in 24 h.",
    "mediafleet_community_gateways": "Gateways in that hour by group: bounds of a range.",
    "mediafleet_community_streams_published": "Streams of those groups together.",
    "mediafleet_community_work": "Work in that hour by kind, each by itself, rounded to 5.",
}


@dataclass(frozen=True, slots=True)
class Shared:
    """All that one operator shares at a moment."""

    region: str
    """The operator's own name for where the nodes are."""
    own_now: OwnFigures | None
    """Of the last five minutes that closed."""
    hours: Sequence[HourRecord]
    """The hours of the last day that are published, oldest first."""
    detail: bool = False
    """Whether others who share may see it by itself."""


def as_json(shared: Shared) -> dict[str, Any]:
    """The job summary, as `GET /summary` answers it."""
    own = own_day(shared.hours)
    return _without_unknown(
        version=VERSION,
        region=shared.region,
        detail=True if shared.detail else None,
        now=_own(shared.own_now),
        day=_without_unknown(
            average=own.average if own else None,
            maximum=own.maximum if own else None,
            hours=own.hours if own else 0,
            streams=_day(day_of_all(shared.hours)),
            groups={_name(cell): _day(each) for cell, each in sorted(days(shared.hours).items())}
            or None,
        ),
        hours=[hour_as_json(each) for each in shared.hours],
    )


def hour_as_json(record: HourRecord) -> dict[str, Any]:
    """One hour."""
    five_minutes = list(record.five_minutes)
    return _without_unknown(
        start=rfc3339(record.start),
        k=record.k,
        own=_own(record.own),
        streams=totals(record),
        fiveMinutes=five_minutes if any(each is not None for each in five_minutes) else None,
        groups={_name(cell): _figures(each) for cell, each in sorted(record.groups.items())},
        work={kind: dict(each) for kind, each in sorted(record.work.items())} or None,
    )


def as_prometheus(shared: Shared) -> str:
    """The last hour, the day and the own region, in Prometheus' text format."""
    lines: dict[str, list[str]] = {metric: [] for metric in _HEADS}
    lines["mediafleet_community_own_streams"] = [
        f'{{region="{shared.region}",figure="{figure}"}} {value}'
        for figure, value in _own_figures(shared)
    ]
    if shared.hours:
        _hour_lines(shared.hours[-1], lines)
        _day_lines(shared.hours, lines)
    return "".join(_family(metric, samples) for metric, samples in lines.items() if samples)


def _own_figures(shared: Shared) -> list[tuple[str, float]]:
    now, hour = shared.own_now, shared.hours[-1].own if shared.hours else None
    return [
        *([("now", now.average)] if now else []),
        *([("average", hour.average), ("maximum", hour.maximum)] if hour else []),
        *_day_figures(own_day(shared.hours)),
    ]


def _day_lines(hours: Sequence[HourRecord], lines: dict[str, list[str]]) -> None:
    lines["mediafleet_community_streams"] += [
        f'{{group="{_name(cell)}",figure="{figure}"}} {value}'
        for cell, each in sorted(days(hours).items())
        for figure, value in _day_figures(each)
    ]
    lines["mediafleet_community_streams_published"] += [
        f'{{figure="{figure}"}} {value}' for figure, value in _day_figures(day_of_all(hours))
    ]


def _day_figures(day: DayFigures | None) -> list[tuple[str, float]]:
    return [("day_average", day.average), ("day_maximum", day.maximum)] if day else []


def _hour_lines(record: HourRecord, lines: dict[str, list[str]]) -> None:
    lines["mediafleet_community_hour_start_seconds"].append(f" {record.start}")
    if (all_groups := totals(record)) is not None:
        lines["mediafleet_community_streams_published"].append(f'{{figure="average"}} {all_groups}')
    for cell, each in sorted(record.groups.items()):
        group = f'group="{_name(cell)}"'
        for figure, value in (("average", each.average), ("maximum", each.maximum)):
            if value is not None:
                sample = f'{{{group},figure="{figure}"}} {value}'
                lines["mediafleet_community_streams"].append(sample)
        for what, span in (("streaming", each.streaming), ("asking", each.asking)):
            if span is not None:
                lines["mediafleet_community_gateways"] += [
                    f'{{{group},what="{what}",bound="{bound}"}} {value}'
                    for bound, value in zip(("low", "high"), span, strict=True)
                ]
    lines["mediafleet_community_work"] += [
        f'{{kind="{kind}",cell="{cell}"}} {value}'
        for kind, cells in sorted(record.work.items())
        for cell, value in sorted(cells.items())
    ]


def _family(metric: str, samples: Iterable[str]) -> str:
    head = f"# HELP {metric} {_HEADS[metric]}\n# TYPE {metric} gauge\n"
    return head + "".join(f"{metric}{sample}\n" for sample in samples)


def _figures(figures: Figures) -> dict[str, Any]:
    return _without_unknown(
        average=figures.average,
        maximum=figures.maximum,
        streaming=_span(figures.streaming),
        asking=_span(figures.asking),
    )


def _own(own: OwnFigures | None) -> dict[str, int] | None:
    return None if own is None else {"average": own.average, "maximum": own.maximum}


def _day(day: DayFigures | None) -> dict[str, Any] | None:
    return None if day is None else asdict(day)


def _name(cell: Cell) -> str:
    return cell[-1]


def _span(span: Range | None) -> str | None:
    return None if span is None else f"{span[0]}-{span[1]}"


def _without_unknown(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
