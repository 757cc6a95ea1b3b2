"""Figures that a test shows to people, whichever process it ran in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from rich.console import Console
from rich.table import Table

Show = Callable[..., None]
_SHOWN: Final = "shown"


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Show:
    """Show figures to people once all tests are over, whichever process they ran in."""

    def record(*shown: str | Table) -> None:
        console = Console(width=120)
        with console.capture() as text:
            console.print(*shown, sep="\n", markup=False, highlight=False)
        record_property(_SHOWN, text.get())

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests showed."""
    ended = [each for reports in terminalreporter.stats.values() for each in reports]
    for report in (each for each in ended if getattr(each, "when", "") == "call"):
        for text in (value for name, value in report.user_properties if name == _SHOWN):
            terminalreporter.section(report.nodeid, "-")
            terminalreporter.write_line(text)
