"""`mediafleet status --desk URL` of an advertiser: its nodes, which of them gateways get, and why
not the others.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mediafleet.tools.asking import fetch, not_a_desk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mediafleet_common.reports.nodes import NodeReport, PoolNodes

_COLUMNS = ("NODE", "STATE", "LISTED", "SESSIONS", "FROM", "URL", "WHY")


def show(text: str, url: str, token: str | None, *, as_json: bool) -> None:
    """Print what an advertiser at `url` answered on `/nodes`, and what is wrong with its pool.

    Raises:
        typer.Exit: the desk did not answer.
    """
    from pydantic import ValidationError
    from rich.console import Console

    from mediafleet_common.reports.nodes import PoolNodes

    try:
        pool = PoolNodes.model_validate_json(text)
        conditions = json.loads(fetch("--desk", url, "/conditions", token=token))
        notes = [f"{each['reason']}: {each['message']}" for each in conditions if _is_bad(each)]
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise not_a_desk(url) from error
    if as_json:
        print(pool.model_dump_json(indent=2))
        return
    # Nothing is cut off where nobody sees the end of a line: half a URL is none.
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=500)
    for part in _shown(pool, notes):
        console.print(part)


def _is_bad(condition: dict[str, Any]) -> bool:
    """NodesListed names nodes, which the table does."""
    return bool(condition["status"] == "False" and condition["type"] != "NodesListed")


def _shown(pool: PoolNodes, notes: list[str]) -> Iterator[RenderableType]:
    from rich.markup import escape
    from rich.table import Table

    name = f"{pool.namespace}/{pool.name}".lstrip("/")
    listed = sum(node.why_not is None for node in pool.nodes)
    known = [node.sessions for node in pool.nodes if node.sessions is not None]
    sessions = f"{sum(known)} sessions" if known else "unknown sessions"
    yield f"[bold]{escape(name)}[/bold]  {listed} of {len(pool.nodes)} nodes listed, {sessions}"
    for note in notes:
        yield f"  [yellow]![/yellow] {escape(note)}"
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column == "SESSIONS" else "left")
    for node in pool.nodes:
        table.add_row(*map(escape, _cells(node)))
    if pool.nodes:
        yield table


def _cells(node: NodeReport) -> tuple[str, ...]:
    from mediafleet_common.serving.logs import printable

    full = "full" if node.full else ""
    why = ": ".join(each for each in (node.why_not or full, node.detail) if each)
    load = "?" if node.sessions is None else str(node.sessions)
    cells = (
        node.name,
        node.state.value,
        "yes" if node.why_not is None else "no",
        load if node.capacity is None else f"{load} of {node.capacity}",
        node.source or "",
        node.url,
        why.replace("_", " ", 1) if node.why_not else why,
    )
    return tuple(map(printable, cells))
