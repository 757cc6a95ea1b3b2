"""What `mediafleet explain URL --task ID` prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer

from mediafleet.options import Output
from mediafleet.tools import task_view
from mediafleet_common.reports.task import AttemptExplained, TaskExplained, TaskState


def task(**more: Any) -> TaskExplained:
    values = {"id": "t1", "pipeline": "llm", "model": "m", "state": TaskState.WAITING, "seconds": 2}
    return TaskExplained(**values | more)


FIRST = AttemptExplained(
    worker="10.0.0.1:5/ab",
    name="gpu-0",
    why="it alone had room; warm, 0 of 1 in use",
    after_seconds=0.04,
    seconds=1.5,
    outcome="out of memory",
)
SECOND = AttemptExplained(worker="10.0.0.2:5/cd", known_as="alice", why="W", after_seconds=1.6)


def test_who_had_a_task_and_who_has_it_is_told_in_order() -> None:
    told = task(state=TaskState.RUNNING, session="s", attempts=[FIRST, SECOND])
    assert list(task_view.lines(told)) == [
        "t1  llm/m  running, 2.0 s",
        "  session s",
        "  1. gpu-0 (10.0.0.1:5/ab), after 0.0 s: it alone had room; warm, 0 of 1 in use",
        "     out of memory, after 1.5 s there",
        "  2. alice: 10.0.0.2:5/cd, after 1.6 s: W",
        "     has it now",
    ]


def test_a_pod_of_a_pool_is_named_before_what_its_worker_says_of_itself() -> None:
    told = task(
        state=TaskState.RUNNING,
        attempts=[
            AttemptExplained(
                worker="10.0.0.3:5/ef",
                name="media/gpu-0",
                pod="media/gpu-0",
                pool="gpu",
                version="0.14.1",
                hardware=["RTX 4090"],
                why="W",
                after_seconds=0,
            )
        ],
    )
    assert list(task_view.lines(told))[1:] == [
        "  1. pod media/gpu-0 of pool gpu (10.0.0.3:5/ef), after 0.0 s: W",
        "     says of itself: runner 0.14.1, RTX 4090",
        "     has it now",
    ]
    waits = task(not_given_to={"10.0.0.3:5/ef": "drains"}, pods={"10.0.0.3:5/ef": "media/gpu-0"})
    assert list(task_view.lines(waits))[1:] == ["  not given to media/gpu-0: drains"]


def test_what_a_worker_writes_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = task(state=TaskState.FAILED, words="\x1b[2Jgone").model_dump_json()
    monkeypatch.setattr(task_view, "fetch", lambda *_: told)
    task_view.show("http://b", "t1", None, Output.TABLE)
    assert "\\x1b[2Jgone" in capsys.readouterr().out


def test_a_task_that_waits_says_why_nobody_is_given_it() -> None:
    assert list(task_view.lines(task(not_given_to={"b": "drains", "a": "no room"}))) == [
        "t1  llm/m  waiting, 2.0 s",
        "  not given to a: no room",
        "  not given to b: drains",
    ]
    assert list(task_view.lines(task()))[-1] == "  no worker offers this model"
    failed = task(state=TaskState.TIMED_OUT, words="no worker had room in time")
    assert list(task_view.lines(failed)) == [
        "t1  llm/m  timed out, 2.0 s",
        "  no worker had room in time",
    ]


@pytest.mark.parametrize("output", list(Output))
def test_it_asks_the_broker_for_the_task(
    output: Output, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def fetch(*args: object) -> str:
        asked.append(args)
        return task().model_dump_json()

    monkeypatch.setattr(task_view, "fetch", fetch)
    task_view.show("http://b", "t1", None, output)
    assert asked == [("URL", "http://b", "/explain", [("task", "t1")], None)]
    text = capsys.readouterr().out
    assert (json.loads(text)["id"] if output is Output.JSON else text.split()[0]) == "t1"


def test_another_answer_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(task_view, "fetch", lambda *_: "{}")
    with pytest.raises(typer.Exit):
        task_view.show("http://b", "t1", None, Output.TABLE)
    assert "does not answer as a desk" in capsys.readouterr().err
