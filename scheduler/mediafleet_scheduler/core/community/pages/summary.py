"""The job summary as a page for people: plain HTML, without style, script or anything to fetch.

It holds what the JSON holds, which it is made of, and nothing beside it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from mediafleet_scheduler.core.community.work.kinds import TITLES

_HEAD: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark"><title>{title}</title></head><body><main>'
    "<h1>{title}</h1>"
)
_PROMISE: Final = (
    "<p>Shared by the operator of these nodes, by choice, for other operators. Nothing is sold or "
    "passed on. Streams are rounded to 5, gateways are ranges; what is not told is nothing or too "
    "few.</p>"
)
_UNKNOWN: Final = "not told"


def as_html(summary: Mapping[str, Any]) -> str:
    """What `rendering.as_json` gives, as a page."""
    now, day = summary.get("now") or {}, summary["day"]
    rows = [
        ("Streams, last five minutes", now.get("average")),
        ("Streams, average of 24 hours", day.get("average")),
        ("Streams, most in 24 hours", day.get("maximum")),
    ]
    hours = list(reversed(summary["hours"]))
    title = escape(f"Demand in {summary['region']}")
    parts = [
        _HEAD.format(title=title),
        _PROMISE,
        _table("Own region", ("figure", "value"), rows),
        _table(
            "Hours, UTC",
            ("hour", "average", "most"),
            [(each["start"], *_of(each.get("own"), "average", "maximum")) for each in hours],
        ),
        _table(
            "By where gateways call from, newest hour",
            ("group", "streams", "most", "gateways that stream", "gateways that ask"),
            [
                (name, *_of(group, "average", "maximum", "streaming", "asking"))
                for name, group in sorted((hours[0]["groups"] if hours else {}).items())
            ],
        ),
        _table(
            "By where gateways call from, 24 hours",
            ("group", "streams, average", "most", "hours told"),
            [
                (name, *_of(group, "average", "maximum", "hours"))
                for name, group in _days(day).items()
            ],
        ),
        *_work(hours[0].get("work") if hours else None),
        "</main></body></html>\n",
    ]
    return "".join(parts)


def _days(day: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    together = {"all of them": day["streams"]} if "streams" in day else {}
    return {**day.get("groups", {}), **together}


def _work(work: Mapping[str, Mapping[str, int]] | None) -> list[str]:
    """Further groups; nothing where none is told."""
    rows = [
        (TITLES.get(kind, kind), cell, value)
        for kind, cells in sorted((work or {}).items())
        for cell, value in sorted(cells.items())
    ]
    heads = ("work", "in", "rounded to 5")
    return [_table("Work by kind, each by itself, newest hour", heads, rows)] if rows else []


def _of(figures: Mapping[str, Any] | None, *names: str) -> tuple[Any, ...]:
    return tuple((figures or {}).get(name) for name in names)


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    told = "".join(_row(row) for row in rows)
    if not told:
        return f"<h2>{escape(caption)}</h2><p>Nothing is told yet.</p>"
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{cells}</tr></thead>"
        f"<tbody>{told}</tbody></table>"
    )


def _row(row: Sequence[Any]) -> str:
    first, *others = (_UNKNOWN if each is None else escape(str(each)) for each in row)
    cells = "".join(f"<td>{each}</td>" for each in others)
    return f'<tr><th scope="row">{first}</th>{cells}</tr>'
