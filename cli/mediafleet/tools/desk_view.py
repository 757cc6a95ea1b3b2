"""`mediafleet status --desk URL`: the fleets of a running egress desk as it sees them, which is all
there is to see where the workers stand in a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.tools.asking import fetch, not_a_desk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mediafleet_common.reports.explanation import FleetExplained, PodExplained


def show(url: str, name: str | None, token: str | None = None) -> None:
    """Ask a running desk and print its workers, their jobs, who waits, and why.

    Raises:
        typer.Exit: the desk did not answer.
    """
    from rich.console import Console

    console = Console(highlight=False)
    for kind, fleet in _fleets(url, token):
        if name in (None, fleet.name):
            for part in _shown(fleet, kind):
                console.print(part)


def _fleets(url: str, token: str | None) -> Iterator[tuple[str, FleetExplained]]:
    """Each fleet, with a type that it takes: the smallest that there is."""
    from pydantic import ValidationError

    from mediafleet_common.api.egress.costs import RequestType
    from mediafleet_common.reports.explanation import Explanation

    left: dict[tuple[str, str], FleetExplained] = {}
    shown: set[tuple[str, str]] = set()
    for kind in reversed(RequestType):
        query = [("type", kind.value), ("mode", "spread")]
        try:
            text = fetch("--desk", url, "/explain", query, token)
            explanation = Explanation.model_validate_json(text)
        except ValidationError as error:
            raise not_a_desk(url) from error
        for fleet in explanation.fleets:
            key = (fleet.namespace, fleet.name)
            if fleet.why_not is not None:
                left[key] = fleet
            elif key not in shown:
                shown.add(key)
                yield kind.value, fleet
        if all((each.namespace, each.name) in shown for each in explanation.fleets):
            return
    for key, fleet in left.items():
        if key not in shown:
            yield "job", fleet


def _shown(fleet: FleetExplained, kind: str) -> Iterator[RenderableType]:
    from rich.markup import escape
    from rich.table import Table

    name = f"{fleet.namespace}/{fleet.name}".lstrip("/")
    if fleet.why_not is not None:
        yield f"[bold]{name}[/bold]  {escape(fleet.why_not)}\n"
        return
    jobs = sum(pod.jobs for pod in fleet.pods)
    ready = sum(pod.state.value == "ready" for pod in fleet.pods)
    facts = [f"{ready} of {len(fleet.pods)} workers ready", f"{jobs} jobs"]
    facts.append(f"{fleet.waiting} wait for room")
    yield f"[bold]{name}[/bold]  {', '.join(facts)}"
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("WORKER", "STATE", "CPUS", "FREE", "JOBS", f"WHY NO {kind.upper()}"):
        numeric = column in ("CPUS", "FREE", "JOBS")
        table.add_column(column, justify="right" if numeric else "left")
    for pod in fleet.pods:
        table.add_row(*_cells(pod))
    if fleet.pods:
        yield table
    yield ""


def _cells(pod: PodExplained) -> list[str]:
    unknown = "" if pod.load_known or pod.state.value == "pending" else "its load is unknown"
    why = "; ".join(each for each in (pod.why_not, unknown) if each)
    return [
        pod.name,
        pod.state.value,
        "?" if pod.cpus is None else f"{pod.cpus:g}",
        "?" if pod.free_cpus is None else f"{max(pod.free_cpus, 0):g}",
        str(pod.jobs),
        why,
    ]
