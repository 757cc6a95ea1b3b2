"""`mediafleet explain URL --task ID`: a task of the AI broker as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from mediafleet.options import Output
from mediafleet.tools.asking import fetch, not_a_desk
from mediafleet_common.serving.logs import printable

_MOST_LINE: Final = 2000

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
        # Much of it is what a worker says.
        typer.echo(printable(line, _MOST_LINE))


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
        yield f"  not given to {task.pods.get(worker, worker)}: {why}"
    if task.state.value == "waiting" and not task.not_given_to:
        yield "  no worker offers this model"


def _attempt(number: int, each: AttemptExplained) -> Iterator[str]:
    yield f"  {number}. {_who(each)}, after {each.after_seconds:.1f} s: {each.why}"
    claims = [*([f"runner {each.version}"] if each.version else []), *each.hardware]
    if claims:
        yield f"     says of itself: {', '.join(claims)}"
    if each.seconds is None:
        yield "     has it now"
    else:
        yield f"     {each.outcome or 'no result'}, after {each.seconds:.1f} s there"


def _who(each: AttemptExplained) -> str:
    """The pod, where it is one of a pool: that is no claim. Else what it calls itself."""
    who = each.worker if each.name is None else f"{each.name} ({each.worker})"
    if each.pod is not None:
        who = f"pod {each.pod} of pool {each.pool} ({each.worker})"
    return who if each.known_as is None else f"{each.known_as}: {who}"
