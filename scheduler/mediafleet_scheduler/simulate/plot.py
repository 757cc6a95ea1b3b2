"""A run as a picture: for each way of placing, how full each pod was over time.

Time goes to the right, a line is a pod, and the darker, the more of its CPUs are taken by cost.
Marks below the lines tell when jobs were refused. matplotlib (`mediafleet[plot]`) is imported when
a picture is drawn, without pyplot: nothing here needs a screen or is kept.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS: Final = 360
"""Moments that are shown."""
_WIDTH: Final = 6.0
"""Inches: with letters of 11 points it can still be read on a phone."""
_LEFT: Final = 0.45
_RIGHT: Final = 0.25
_TOP: Final = 0.65
_GAP: Final = 0.5
_BOTTOM: Final = 1.25
_DOTS_PER_INCH: Final = 200
INK: Final = "#24292f"
_EMPTY: Final = "#eef1f4"
REFUSED: Final = "#d1242f"
_FULLNESS: Final = ("#cfe3f5", "#6caadc", "#2366a8", "#0d3a69")
"""Nothing to all of the CPUs."""
_LEAST_SHARE: Final = 0.005
"""Of a pod's CPUs; what is below looks empty."""
_STYLE: Final = {
    "font.size": 11,
    "axes.titlesize": 11,
    "figure.titlesize": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "axes.edgecolor": "#d0d7de",
    # Text remains text, and two runs write the same bytes.
    "svg.fonttype": "none",
    "svg.hashsalt": "mediafleet",
}
_UNITS: Final[tuple[tuple[str, int], ...]] = (("hours", 3600), ("minutes", 60), ("seconds", 1))

Runs = Mapping[Placing, Sequence[Outcome]]


class NoMatplotlibError(RuntimeError):
    """A picture was asked for and matplotlib is not installed."""


@dataclass(frozen=True, slots=True)
class Page:
    """A picture of panels that lie below each other."""

    title: str
    panels: int
    inches: float
    """Height of a panel."""
    kind: Literal["png", "svg"]


Drawn = tuple["Figure", Sequence["Axes"], Callable[[], bytes]]


@contextlib.contextmanager
def drawn(page: Page) -> Iterator[Drawn]:
    """A figure, its panels, and what makes bytes of it: the same for the same drawing, whatever the
    user's matplotlibrc says; raises NoMatplotlibError."""
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NoMatplotlibError(
            "--plot needs matplotlib: pip install 'mediafleet[plot]'"
        ) from error
    height = _TOP + page.panels * (page.inches + _GAP) - _GAP + _BOTTOM
    grid = {
        "left": _LEFT / _WIDTH,
        "right": 1 - _RIGHT / _WIDTH,
        "top": 1 - _TOP / height,
        "bottom": _BOTTOM / height,
        "hspace": _GAP / page.inches,
    }
    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=(_WIDTH, height))
        figure.suptitle(page.title, x=grid["left"], y=1 - 0.1 / height, ha="left", parse_math=False)
        panels = figure.subplots(page.panels, 1, sharex=True, squeeze=False, gridspec_kw=grid)[:, 0]
        yield figure, list(panels), lambda: _bytes(figure, page)


def _bytes(figure: Figure, page: Page) -> bytes:
    file = io.BytesIO()
    unsaid = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[page.kind]
    metadata = {"Title": page.title, **unsaid}
    figure.savefig(file, format=page.kind, dpi=_DOTS_PER_INCH, metadata=metadata)
    return file.getvalue()


def picture(runs: Runs, setup: Setup, title: str, kind: Literal["png", "svg"]) -> bytes:
    """All runs below each other, on one scale of time; raises NoMatplotlibError."""
    span = max((_over(each) for run in runs.values() for each in run), default=1.0) or 1.0
    with drawn(Page(title, len(runs), _inches(setup.pods), kind)) as (figure, panels, save):
        for axes, (placing, run) in zip(panels, runs.items(), strict=True):
            _draw_run(axes, placing, run, setup, span)
        draw_time(panels[-1], span)
        _draw_legend(figure)
        return save()


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


def unit(span: float) -> tuple[str, int]:
    """Name and seconds of the unit of an axis that is `span` seconds long."""
    return next(each for each in _UNITS if span >= 3 * each[1] or each[1] == 1)


def _over(each: Outcome) -> float:
    return each.ended or each.gave_up or 0.0


def _inches(pods: int) -> float:
    """Height of a panel: two dots of a PNG for each pod at least."""
    return pods * max(0.01, min(0.12, 2.4 / pods), 0.3 / pods)


def _draw_run(
    axes: Axes, placing: Placing, run: Sequence[Outcome], setup: Setup, span: float
) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.markers import TICKDOWN

    refused = [each.gave_up or 0.0 for each in run if each.pod is None]
    counted = f"{len(refused)} of {len(run)} refused" if refused else "nothing refused"
    axes.set_title(f"{placing.value}: {counted}", loc="left", color=REFUSED if refused else INK)
    seconds = unit(span)[1]
    axes.imshow(
        fullness(run, setup, span),
        cmap=LinearSegmentedColormap.from_list("cpus", _FULLNESS).with_extremes(under=_EMPTY),
        vmin=_LEAST_SHARE,
        vmax=1,
        aspect="auto",
        interpolation="none",
        extent=(0, span / seconds, setup.pods, 0),
    )
    if _inches(setup.pods) / setup.pods > 0.04:
        axes.hlines(range(1, setup.pods), 0, span / seconds, colors="white", linewidth=0.8)
    axes.plot(
        [each / seconds for each in refused],
        [0.0] * len(refused),
        color=REFUSED,
        label="refused",
        linestyle="none",
        marker=TICKDOWN,
        markersize=6,
        markeredgewidth=1.2,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
    )
    axes.set_yticks([])
    axes.set_ylabel(f"{setup.pods} pods" if setup.pods > 1 else "1 pod")
    axes.tick_params(axis="x", length=0, pad=8)


def draw_time(axes: Axes, span: float) -> None:
    """Whole hours, minutes or seconds below an axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, steps=[1, 2, 3, 5, 6, 10]))
    axes.set_xlabel(unit(span)[0])


def _draw_legend(figure: Figure) -> None:
    height = figure.get_figheight()
    first = figure.axes[0]
    place = (_LEFT / _WIDTH, 0.35 / height, 0.35, 0.14 / height)
    bar = figure.colorbar(first.images[0], cax=figure.add_axes(place), orientation="horizontal")
    bar.set_ticks([_LEAST_SHARE, 1], labels=["0", "all"])
    bar.ax.tick_params(length=0)
    bar.set_label("CPUs taken", labelpad=-10)
    figure.legend(
        handles=first.lines[:1],
        loc="center right",
        bbox_to_anchor=(1 - _RIGHT / _WIDTH, 0.42 / height),
        borderaxespad=0,
        frameon=False,
        handlelength=0.5,
    )
