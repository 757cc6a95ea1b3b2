"""Bursts of StartEgress and what came of them: jobs per worker, and how long the calls took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

BURST = 51
"""As in the load test that LiveKit's pull request 1209 reports: 24 of 51 jobs on one pod."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What one burst came to."""

    title: str
    jobs: Mapping[str, int]
    """Jobs per worker, every worker named."""
    call_seconds: Sequence[float]
    """How long each call took that was answered."""
    refused: int

    @property
    def placed(self) -> int:
        """Jobs that run."""
        return sum(self.jobs.values())

    @property
    def skew(self) -> int:
        """Jobs that the fullest worker has more than the emptiest."""
        return max(self.jobs.values()) - min(self.jobs.values())


def quantile(values: Iterable[float], share: float) -> float | None:
    """The value that `share` of the values do not exceed; `None` without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(bursts: Sequence[Burst]) -> Table:
    """Bursts beside each other, a row each."""
    rows = Table(
        title=f"{BURST} StartEgress at once on {len(bursts[0].jobs)} workers, time of a call",
        # Eighty columns hold it, whatever the figures are.
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    rows.add_column("placed by", no_wrap=True)
    rows.add_column("jobs per worker", no_wrap=True)
    rows.add_column("refused", justify="right", no_wrap=True)
    for name in ("p50", "p99"):
        rows.add_column(name, justify="right", no_wrap=True)
    for burst in bursts:
        counts = " ".join(f"{count:2d}" for _, count in sorted(burst.jobs.items(), key=by_number))
        figures = [_milliseconds(quantile(burst.call_seconds, share)) for share in (0.5, 0.99)]
        rows.add_row(burst.title, counts, str(burst.refused), *figures)
    return rows


def bars(burst: Burst, width: int = 50) -> list[str]:
    """A burst as bars, a line a worker."""
    most = max(*burst.jobs.values(), 1)
    return [
        f"  {name:>14} {'█' * round(count / most * width)} {count}"
        for name, count in sorted(burst.jobs.items(), key=by_number)
    ]


def by_number(item: tuple[str, int]) -> tuple[str, int]:
    """Key that sorts `pod-10` after `pod-9`."""
    stem, _, number = item[0].rpartition("-")
    return (stem, int(number)) if number.isdigit() else (item[0], 0)


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
