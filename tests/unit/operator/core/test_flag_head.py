"""When a managed head is started anew with another list of nodes."""

from __future__ import annotations

import pytest

from mediafleet_operator.core.flag_head import Head, Step, listable, step

A, B = ("https://a:1",), ("https://a:1", "https://b:1")
NOW = 1000.0


def head(nodes: tuple[str, ...], told: float | None) -> Head:
    return Head(nodes, None if told is None else NOW - told)


@pytest.mark.parametrize(
    ("before", "wanted", "still", "idle", "then"),
    [
        (None, A, 0, False, Step(A, send=True)),
        (None, (), 0, False, Step((), send=True)),
        (head(A, 5), A, 0, False, Step(A)),
        (head((), 5), A, 2, False, Step((), look_again_seconds=3)),
        (head((), 5), A, 5, False, Step(A, send=True)),
        (head(A, 300), B, 1, True, Step(A, look_again_seconds=4)),
        (head(A, 20), B, 30, True, Step(A, look_again_seconds=40)),
        (head(A, 58), B, 1, True, Step(A, look_again_seconds=4)),
        (head(A, 60), B, 5, False, Step(A, ask_sessions=True, look_again_seconds=5)),
        (head(A, 60), B, 5, True, Step(B, send=True)),
        (head(A, None), B, 5, True, Step(B, send=True)),
        (head(A, 60), (), 5, False, Step(A, ask_sessions=True, look_again_seconds=5)),
        (head(A, 60), (), 5, True, Step((), send=True)),
    ],
    ids=[
        "no head yet",
        "no head and no nodes",
        "as wanted",
        "the first nodes are still coming",
        "the first nodes have come: nothing runs that could be hurt",
        "the list has just changed",
        "told less than a minute ago",
        "both: the later one counts",
        "only sessions may be in the way",
        "idle",
        "a head of which nobody knows since when",
        "the last node has gone, and there may be sessions",
        "the last node has gone",
    ],
)
def test_what_becomes_of_a_head(
    before: Head | None, wanted: tuple[str, ...], still: float, idle: bool, then: Step
) -> None:
    assert step(before, wanted, still, NOW, idle=idle) == then


def test_a_list_that_never_stands_still_restarts_nothing_and_one_that_does_once_a_minute() -> None:
    told, now, restarts, since = NOW, NOW, 0, NOW
    nodes: tuple[str, ...] = A
    wanted: tuple[str, ...] = A
    for second in range(600):
        now += 1
        if second % 2 == 0 and second < 300:
            wanted, since = (f"https://n{second}:1",), now
        found = step(Head(nodes, told), wanted, now - since, now, idle=True)
        if found.send:
            nodes, told, restarts = found.nodes, now, restarts + 1

    assert restarts == 1
    assert nodes == wanted


def test_the_flag_takes_https_alone_each_once_and_no_more_than_asked_for() -> None:
    good, bad = listable(["https://a:1", "http://b:1", "https://a:1", "x", "https://c:1"], 2)

    assert good == ("https://a:1", "https://c:1")
    assert bad == ("http://b:1", "x")
