"""What `mediafleet status --desk` shows of the fleets of a desk."""

from __future__ import annotations

from typing import Any

import pytest

from mediafleet.tools import desk_view
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.names import PodState
from mediafleet_common.reports.explanation import Explanation, FleetExplained, PodExplained


def fleet(name: str, **more: Any) -> FleetExplained:
    return FleetExplained(namespace="", name=name, priority=0, some_rooms_only=False, **more)


def worker(name: str, **more: Any) -> PodExplained:
    values: dict[str, Any] = {
        "state": PodState.READY,
        "cpus": 8.0,
        "free_cpus": 5.9,
        "jobs": 1,
        "load_known": True,
        "refused_lately": False,
    }
    return PodExplained(name=name, **values | more)


WORKERS = [
    worker("w1"),
    worker("w2", load_known=False, cpus=None, free_cpus=None, jobs=0),
    worker("w3", state=PodState.DRAINING, why_not="it is draining"),
]


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """A fleet for pages, and one for everything; a type is asked after only while one is left."""

    def fetch(_: str, url: str, path: str, query: list[tuple[str, str]], __: str | None) -> str:
        del url, path
        kind = RequestType(dict(query)["type"])
        pages = fleet("pages", why_not="spec.accepts does not name it")
        if kind is RequestType.AUDIO_WEB:
            pages = fleet("pages", waiting=2, pods=[worker("p1")])
        rec = fleet("rec", pods=WORKERS)
        return Explanation(type=kind, at=0.0, fleets=[pages, rec]).model_dump_json()

    monkeypatch.setattr(desk_view, "fetch", fetch)
    desk_view.show("http://desk", None)
    return capsys.readouterr().out


def test_workers_jobs_queue_and_why_are_shown_of_each_fleet_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = told(monkeypatch, capsys)
    assert text.count("rec  2 of 3 workers ready, 2 jobs, 0 wait for room") == 1
    assert text.count("pages  1 of 1 workers ready, 1 jobs, 2 wait for room") == 1
    assert "WHY NO TRACK" in text
    assert "WHY NO AUDIO_WEB" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("w")}
    assert rows["w1"].split() == ["w1", "ready", "8", "5.9", "1"]
    assert "its load is unknown" in rows["w2"]
    assert "it is draining" in rows["w3"]


def test_a_fleet_whose_redis_is_not_served_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    why = fleet("rec", why_not="its Redis is not served: no connection to Redis")
    text = Explanation(type=RequestType.TRACK, at=0.0, fleets=[why]).model_dump_json()
    monkeypatch.setattr(desk_view, "fetch", lambda *_: text)
    desk_view.show("http://desk", None)
    assert "no connection to Redis" in capsys.readouterr().out
