"""`mediafleet explain URL --task ID`: a task of the AI broker as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mediafleet.options import Output
from mediafleet.tools.asking import fetch, not_a_desk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediafleet_common.reports.task import AttemptExplained, TaskExplained


def show(url: str, task: str, token: str | None, output: Output) -> None:
    """Ask the broker at `url`, and print what it says.

    Raises:
        typer.Exit: it did not answer, or would not; the reason is printed.
    """
    from pydantic import ValidationError

    from mediafleet_common.reports.task import TaskExplained

    text = fetch("URL", url, "/explain", [("task", task)], token)
    if output is Output.JSON:
        typer.echo(text)
        return
    try:
        explained = TaskExplained.model_validate_json(text)
    except ValidationError as error:
        raise not_a_desk(url) from error
    for line in lines(explained):
        typer.echo(line)


def lines(task: TaskExplained) -> Iterator[str]:
    """A task for people."""
    state = task.state.value.replace("_", " ")
    yield f"{task.id}  {task.pipeline}/{task.model}  {state}, {task.seconds:.1f} s"
    if task.words:
        yield f"  {task.words}"
    if task.session:
        yield f"  session {task.session}"
    for number, each in enumerate(task.attempts, 1):
        yield from _attempt(number, each)
    for worker, why in sorted(task.not_given_to.items()):
        yield f"  not given to {worker}: {why}"
    if task.state.value == "waiting" and not task.not_given_to:
        yield "  no worker offers this model"


def _attempt(number: int, each: AttemptExplained) -> Iterator[str]:
    who = each.worker if each.name is None else f"{each.name} ({each.worker})"
    who = who if each.known_as is None else f"{each.known_as}: {who}"
    yield f"  {number}. {who}, after {each.after_seconds:.1f} s: {each.why}"
    if each.seconds is None:
        yield "     has it now"
    else:
        yield f"     {each.outcome or 'no result'}, after {each.seconds:.1f} s there"
