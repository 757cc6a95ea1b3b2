"""What `mediafleet top`, `rollout status` and `logs --why` show, from what servers give them."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from kubernetes.aio.client import Configuration
from rich.console import Console
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet.live import logs
from mediafleet.live.logs import lines, told
from mediafleet.live.rollout import Progress, progress
from mediafleet.live.top import bar, screen
from mediafleet.tools.status_view import FleetLine, PodLine
from mediafleet_common.kube import login
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.paths import Collection, Target
from mediafleet_common.reports.job import JobExplained, JobsExplained, JobState

POD = PodLine("rec-0", "ready", 0, None, None, None, 5.0, None)


def fleet(*pods: PodLine, name: str = "recorders", **more: Any) -> FleetLine:
    given = {
        "kind": "EgressFleet",
        "namespace": "media",
        "wanted": len(pods),
        "ready": len(pods),
        "draining": 0,
        "load": 0,
        "mode": "pack",
        "listed": None,
        "up_to_date": True,
        "notes": (),
    }
    return FleetLine(name=name, pods=pods, **{**given, **more})


def drawn(*fleets: FleetLine, width: int = 60, rows: int = 0, trouble: str | None = None) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(screen(fleets, width, trouble, rows))
    return out.getvalue()


def test_top_fits_into_60_columns_with_long_names() -> None:
    long = fleet(*[POD] * 40, name="a-very-long-name-of-a-fleet-of-recorders-in-the-north")
    text = drawn(long, fleet(namespace="another-namespace-of-somebody-else"))
    assert all(len(line) <= 60 for line in text.splitlines())
    assert "40/40" in text


def test_a_namespace_that_all_have_leaves_its_room_to_the_names() -> None:
    long = fleet(name="recorders-in-the-north")
    assert "media" not in drawn(long)
    assert "recorders-in-the-north " in drawn(long)
    assert "media" in drawn(long, width=100)


def test_a_bar_has_a_mark_for_each_pod_and_ten_for_many() -> None:
    states = [
        replace(POD, load=3),
        POD,
        replace(POD, state="draining"),
        replace(POD, state="not ready"),
        replace(POD, load=None),
    ]
    marks = [each for each in bar(fleet(*states)) if each in "█▒▓·"]
    assert "".join(marks) == "██▒▓·"
    assert sum(each in "█▒▓·" for each in bar(fleet(*states * 20))) == 10
    assert bar(fleet()) == ""


def test_top_says_what_is_wrong_and_how_much_it_left_out() -> None:
    sick = fleet(notes=tuple(f"Degraded: {n}" for n in range(9)))
    text = drawn(sick, rows=10, trouble="no news")
    assert "no news" in text
    assert text.count("Degraded") == 3
    assert "and 6 more: mediafleet status" in text
    assert drawn(sick).count("Degraded") == 9


def resource(
    *, seen: int = 2, ready: int = 3, draining: int = 0, **conditions: Any
) -> dict[str, Any]:
    told = [
        {"type": kind, "status": status, "reason": reason, "message": "M."}
        for kind, (status, reason) in conditions.items()
    ]
    status = {"observedGeneration": seen, "readyReplicas": ready, "draining": draining}
    return {
        "kind": "EgressFleet",
        "metadata": {"name": "rec", "generation": 2},
        "spec": {"replicas": 3},
        "status": {**status, "conditions": told},
    }


def pods(*templates: str) -> list[dict[str, Any]]:
    return [{"metadata": {"labels": {"mediafleet.dev/template": each}}} for each in templates]


@pytest.mark.parametrize(
    ("raw", "there", "expected"),
    [
        (resource(seen=1), (), "rec: the operator has not seen the last change yet"),
        (
            resource(Progressing=("True", "RollingOut"), draining=1),
            ("a", "a", "b"),
            "rec: 3 pods of 2 templates, 3 of 3 Ready, 1 draining: M.",
        ),
        (resource(ready=2), ("a", "a"), "rec: 2 pods, 2 of 3 Ready"),
        (resource(draining=2), ("a",), "rec: 1 pods, 3 of 3 Ready, 2 draining"),
    ],
)
def test_a_rollout_that_goes_on_says_how_far_it_is(
    raw: dict[str, Any], there: tuple[str, ...], expected: str
) -> None:
    assert progress(raw, pods(*there)) == Progress(f"EgressFleet {expected}")


def test_a_rollout_ends_done_or_stopped() -> None:
    assert progress(resource(), pods("a")).done
    stopped = progress(resource(Progressing=("False", "RolloutStopped")), [])
    assert (stopped.stopped, stopped.done) == (True, False)
    paused = progress(resource(Paused=("True", "Paused")), [])
    assert (paused.stopped, paused.done) == (True, False)


JOB = JobExplained(
    id="EG_a", state=JobState.RUNNING, fleet="media/rec", type="track", cores=1, since=100.0
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": JobState.WAITING}, ["EG_a: waiting, track, on no pod yet", "waits for room"]),
        ({"state": JobState.STARTING, "pod": "rec-0"}, ["on rec-0", "has not answered"]),
        ({"pod": "rec-0", "started": 100.25}, ["running", "00:01:40Z", "yes at", "0.25 s later"]),
        ({"state": JobState.ENDED, "pod": "rec-0"}, ["ended", "never said yes"]),
        ({"state": JobState.ENDED, "pod": "rec-0", "error": "no"}, ["the start failed: no"]),
    ],
)
def test_a_job_is_told_in_a_few_lines(change: dict[str, Any], words: list[str]) -> None:
    known = JobsExplained(jobs=[JOB.model_copy(update=change)], kept_seconds=600)
    text = "\n".join(lines("EG_a", known))
    assert [word for word in words if word not in text] == [], text


def test_a_job_that_nobody_knows_says_how_long_they_are_kept_and_who_could_not_be_asked() -> None:
    text = list(lines("EG_a", JobsExplained(kept_seconds=600, unread=["refused"])))
    assert text == [
        "EG_a: the desk does not know it; jobs that are over are kept 10 min",
        "  a ledger could not be asked: refused",
    ]


def test_events_that_name_the_job_or_are_of_its_pod_come_by_time() -> None:
    def event(at: str, pod: str, note: str) -> dict[str, Any]:
        return {"eventTime": at, "reason": "R", "regarding": {"name": pod}, "note": note}

    events = [
        event("2026-01-02", "rec", "Lost 1 job with pod rec-0: EG_a."),
        event("2026-01-01", "rec-0", "Killing"),
        event("2026-01-01", "rec-1", "Killing"),
        {"regarding": None, "note": None},
    ]
    assert told(events, "EG_a", ["rec-0", None]) == [
        "2026-01-01 R rec-0: Killing",
        "2026-01-02 R rec: Lost 1 job with pod rec-0: EG_a.",
    ]


@pytest.mark.parametrize(("known", "status"), [([JOB], 0), ([], 1)])
def test_the_status_of_logs_tells_whether_the_job_is_known(
    monkeypatch: pytest.MonkeyPatch, known: list[JobExplained], status: int
) -> None:
    answer = JobsExplained(jobs=known, kept_seconds=600).model_dump_json()
    monkeypatch.setattr(logs, "fetch", lambda *_: answer)
    result = CliRunner().invoke(app, ["logs", "--why", "EG_a", "--no-events"])
    assert (result.exit_code, "EG_a" in result.output) == (status, True)


@pytest.mark.parametrize(("known", "asked"), [([JOB, JOB], ["media"]), ([], [None])])
def test_logs_reads_events_where_the_job_is_and_everywhere_only_for_one_that_nobody_knows(
    monkeypatch: pytest.MonkeyPatch, known: list[JobExplained], asked: list[str | None]
) -> None:
    seen: list[str] = []

    async def listed(_: Api, target: Target) -> list[Any]:
        seen.append(target.path)
        return []

    answer = JobsExplained(jobs=known, kept_seconds=600).model_dump_json()
    monkeypatch.setattr(logs, "fetch", lambda *_: answer)
    monkeypatch.setattr(Api, "list_all", listed)
    monkeypatch.setattr(login, "configure", configured)
    CliRunner().invoke(app, ["logs", "--why", "EG_a"])
    events = Collection("events.k8s.io", "v1", "events")
    assert seen == [events.inside(each).path for each in asked]


async def configured(*_: object) -> Configuration:
    """Of a cluster that nobody asks."""
    return Configuration(host="http://127.0.0.1:1")
