"""A run as a picture: for each way of placing, how full each pod was over time.

Time goes to the right, a line is a pod, and the darker, the more of its CPUs are taken by cost. A
line below each tells when jobs were refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from mediafleet_scheduler.simulate.canvases import Canvas
from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup

COLUMNS: Final = 360
"""Moments that are shown."""
_LEFT: Final = 80
_COLUMN: Final = 2
_TOP: Final = 44
_TITLE: Final = 24
_GAP: Final = 14
_BOTTOM: Final = 34
_INK: Final = "#24292f"
_FAINT: Final = "#6e7781"
_EMPTY: Final = "#eef1f4"
_REFUSED: Final = "#d1242f"
_FULLNESS: Final = (
    "#cfe3f5",
    "#b1d2ee",
    "#8fbfe6",
    "#6caadc",
    "#4d94d0",
    "#347dc0",
    "#2366a8",
    "#17508a",
    "#0d3a69",
)
"""Nothing to all of the CPUs."""

_UNITS: Final[tuple[tuple[str, int], ...]] = (("h", 3600), ("min", 60), ("s", 1))

Runs = Mapping[Placing, Sequence[Outcome]]


def size(runs: Runs, setup: Setup) -> tuple[int, int]:
    """Width and height of the picture."""
    height = _TOP + len(runs) * _panel_height(setup) + _BOTTOM
    return _LEFT + COLUMNS * _COLUMN + 24, height


def draw(canvas: Canvas, runs: Runs, setup: Setup, title: str) -> None:
    """Draw all runs below each other, on one scale of time."""
    width, height = size(runs, setup)
    canvas.box(0, 0, width, height, "#ffffff")
    canvas.text(_LEFT, 18, title, _INK)
    span = max((_over(each) for run in runs.values() for each in run), default=1.0) or 1.0
    top = _TOP
    for placing, run in runs.items():
        _draw_run(canvas, placing, run, setup, top, span)
        top += _panel_height(setup)
    for part in range(5):
        x = _LEFT + COLUMNS * _COLUMN * part / 4
        canvas.text(x, top + 8, moment(span * part / 4, span), _FAINT, right=part == 4)
    _draw_legend(canvas, width)


def fullness(run: Sequence[Outcome], setup: Setup, span: float) -> list[list[float]]:
    """By pod and column, the share of its CPUs that jobs take by cost, on average."""
    seconds = span / COLUMNS
    rows = [[0.0] * COLUMNS for _ in range(setup.pods)]
    for each in run:
        if each.pod is None or each.began is None or each.ended is None:
            continue
        share = setup.costs.of(each.job.kind) / setup.cpu
        first = min(int(each.began / seconds), COLUMNS - 1)
        last = min(int(each.ended / seconds), COLUMNS - 1)
        for column in range(first, last + 1):
            begin, end = max(each.began, column * seconds), min(each.ended, (column + 1) * seconds)
            rows[each.pod][column] += share * max(0.0, end - begin) / seconds
    return rows


def moment(seconds: float, span: float) -> str:
    """A time on an axis that is so long: all in one unit."""
    name, unit = next(each for each in _UNITS if span >= 3 * each[1] or each[1] == 1)
    return f"{seconds / unit:.1f} {name}" if seconds else "0"


def _over(each: Outcome) -> float:
    return each.ended or each.gave_up or 0.0


def _pod_height(setup: Setup) -> int:
    return max(2, min(12, 240 // max(setup.pods, 1)))


def _panel_height(setup: Setup) -> int:
    return _TITLE + setup.pods * _pod_height(setup) + 8 + _GAP


def _draw_run(
    canvas: Canvas, placing: Placing, run: Sequence[Outcome], setup: Setup, top: int, span: float
) -> None:
    refused = [each for each in run if each.pod is None]
    told = f"{len(refused)} of {len(run)} refused" if refused else "nothing refused"
    canvas.text(_LEFT, top + _TITLE / 2, f"{placing.value}: {told}", _INK)
    top += _TITLE
    high = _pod_height(setup)
    canvas.box(_LEFT, top, COLUMNS * _COLUMN, high * setup.pods, _EMPTY)
    for number, row in enumerate(fullness(run, setup, span)):
        at = 0
        for colour, columns in groupby(_colour(share) for share in row):
            count = len(list(columns))
            if colour != _EMPTY:
                x = _LEFT + at * _COLUMN
                line = 1 if high > 4 else 0
                y = top + number * high
                canvas.box(x, y, count * _COLUMN, high - line, colour)
            at += count
    canvas.text(_LEFT - 8, top + high * setup.pods / 2, f"{setup.pods} pods", _FAINT, right=True)
    for each in refused:
        column = min(int((each.gave_up or 0.0) / span * COLUMNS), COLUMNS - 1)
        canvas.box(_LEFT + column * _COLUMN, top + high * setup.pods + 2, _COLUMN, 5, _REFUSED)


def _colour(share: float) -> str:
    if share < 0.005:
        return _EMPTY
    return _FULLNESS[min(int(share * len(_FULLNESS)), len(_FULLNESS) - 1)]


def _draw_legend(canvas: Canvas, width: int) -> None:
    x = width - 24 - 14 * len(_FULLNESS) - 112
    canvas.text(x - 6, 18, "CPUs taken 0", _FAINT, right=True)
    for step, colour in enumerate(_FULLNESS):
        canvas.box(x + 14 * step, 12, 14, 12, colour)
    after = x + 14 * len(_FULLNESS)
    canvas.text(after + 6, 18, "all", _FAINT)
    canvas.box(after + 34, 12, 12, 12, _REFUSED)
    canvas.text(after + 51, 18, "refused", _FAINT)
