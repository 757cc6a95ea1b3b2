"""What every comparison needs to be shown: a bar while it runs, tables, a file for the picture."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table


def progress() -> Progress:
    """A bar on a terminal, gone at the end; elsewhere nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def table(first: str, columns: tuple[str, ...]) -> Table:
    """A table without lines, whose first column is text."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    made.add_column(first, no_wrap=True)
    for column in columns:
        made.add_column(column, justify="right", no_wrap=True)
    return made


def check_plot(plot: Path) -> None:
    """Refuse at once what could not be written at the end.

    Raises:
        typer.BadParameter: the picture could not be drawn, or not be written there.
    """
    if plot.suffix not in (".svg", ".png"):
        raise typer.BadParameter(f"--plot {plot}: the name ends in .svg or .png")
    place = plot if plot.exists() else plot.parent
    if not plot.parent.is_dir() or plot.is_dir() or not os.access(place, os.W_OK):
        raise typer.BadParameter(f"--plot {plot}: it cannot be written there")
    if importlib.util.find_spec("matplotlib") is None:
        raise typer.BadParameter("--plot needs matplotlib: pip install 'mediafleet[plot]'")


def kind_of(plot: Path) -> Literal["png", "svg"]:
    """What a picture of that name is."""
    return "png" if plot.suffix == ".png" else "svg"


def write_plot(path: Path, picture: Callable[[], bytes]) -> None:
    """Draw and write, and say where.

    Raises:
        typer.Exit: that failed; the reason is printed.
    """
    from mediafleet_scheduler.simulate.plot import NoMatplotlibError

    try:
        path.write_bytes(picture())
    except (NoMatplotlibError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"wrote {path}", err=True)
