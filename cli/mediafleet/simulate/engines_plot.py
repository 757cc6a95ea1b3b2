"""Engines as a picture: for each, the pods that it asked for and had, and the jobs, over time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

from mediafleet_scheduler.simulate.plot import INK, REFUSED, Page, draw_time, drawn, unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mediafleet_operator.simulate.comparing import Case, Way
    from mediafleet_operator.simulate.runs import Run

_PANEL_INCHES: Final = 1.1
_WORK: Final = "#6caadc"
_PODS: Final = "#0d3a69"
_AHEAD: Final = "#bf8700"


def picture(runs: Mapping[Way, Run], case: Case, title: str, kind: Literal["png", "svg"]) -> bytes:
    """All engines below each other, on one scale of time and pods; raises NoMatplotlibError."""
    page = Page(title, len(runs), _PANEL_INCHES, kind)
    seconds = max(case.seconds, 1.0)
    most = max(run.tally.most_pods for run in runs.values())
    with drawn(page) as (figure, panels, save):
        for axes, (way, run) in zip(panels, runs.items(), strict=True):
            _draw(axes, way, run, seconds, most)
        draw_time(panels[-1], seconds)
        figure.legend(
            handles=panels[0].get_legend_handles_labels()[0],
            loc="lower center",
            ncols=3,
            frameon=False,
            borderaxespad=0.3,
        )
        return save()


def _draw(axes: Axes, way: Way, run: Run, seconds: float, most: int) -> None:
    refused, hours = run.tally.refused, run.tally.pod_seconds / 3600
    told = f"{refused} refused" if refused else "nothing refused"
    axes.set_title(
        f"{way.value}: {told}, {hours:.0f} pod hours", loc="left", color=REFUSED if refused else INK
    )
    scale = unit(seconds)[1]
    begin = run.moments[0].at if run.moments else 0.0
    times = [(each.at - begin) / scale for each in run.moments]
    axes.plot(times, [each.had for each in run.moments], color=_PODS, label="pods", linewidth=1)
    axes.plot(
        times,
        [math.nan if each.forecast is None else each.forecast for each in run.moments],
        color=_AHEAD,
        label="forecast",
        linewidth=1,
        linestyle="dotted",
    )
    axes.set_xlim(0, seconds / scale)
    axes.set_ylim(0, most * 1.05)
    jobs = axes.twinx()
    jobs.fill_between(times, [each.work for each in run.moments], color=_WORK, alpha=0.4, lw=0)
    jobs.set_ylim(bottom=0)
    axes.fill_between([], [], color=_WORK, alpha=0.4, lw=0, label="jobs")
    for each in (axes, jobs):
        each.tick_params(axis="both", length=0, labelsize=8)
    jobs.set_zorder(axes.get_zorder() - 1)
    axes.patch.set_visible(False)
