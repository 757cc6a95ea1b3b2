"""What `mediafleet status --desk` shows of the nodes of an advertiser."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer

from mediafleet.tools import nodes_view
from mediafleet_common.api.names import PodState
from mediafleet_common.reports.nodes import NodeReport, PoolNodes


def node(name: str, **more: Any) -> NodeReport:
    values: dict[str, Any] = {
        "url": f"https://{name}:8935",
        "state": PodState.READY,
        "source": None,
        "region": None,
        "sessions": None,
        "capacity": None,
        "full": False,
        "why_not": None,
        "detail": "",
    }
    return NodeReport(name=name, **values | more)


POOL = PoolNodes(
    namespace="",
    name="file",
    nodes=[
        node("a", sessions=3, capacity=8),
        node("eu-1", source="eu", detail="its certificate expired"),
        node("f", sessions=2, capacity=2, full=True),
        node("b", why_not="bad_url", detail="no [port]"),
        node("c", state=PodState.DRAINING, why_not="draining"),
    ],
)
CONDITIONS = [
    {"type": "NodesListed", "status": "False", "reason": "NodesLeftOut", "message": "b"},
    {"type": "SourcesReady", "status": "False", "reason": "SourceStale", "message": "eu: HTTP 500"},
    {"type": "HeadReady", "status": "True", "reason": "HeadAnswers", "message": "fine"},
]


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, as_json: bool = False
) -> str:
    monkeypatch.setattr(nodes_view, "fetch", lambda *_, **__: json.dumps(CONDITIONS))
    nodes_view.show(POOL.model_dump_json(), "http://desk", None, as_json=as_json)
    return capsys.readouterr().out


def test_each_node_says_whether_it_is_listed_and_why_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(monkeypatch, capsys)
    assert text.startswith("file  3 of 5 nodes listed, 5 sessions\n")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines()}
    assert rows["a"] == "ready yes 3 of 8 https://a:8935"
    assert rows["eu-1"] == "ready yes ? eu https://eu-1:8935 its certificate expired"
    assert rows["f"].endswith("https://f:8935 full")
    assert rows["b"].endswith("no ? https://b:8935 bad url: no [port]")
    assert rows["c"].endswith("https://c:8935 draining")


def test_what_is_wrong_with_the_pool_is_said_and_what_is_right_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = [line for line in shown(monkeypatch, capsys).splitlines() if line.startswith("  !")]
    assert notes == ["  ! SourceStale: eu: HTTP 500"]


def test_as_json_it_is_what_the_desk_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert PoolNodes.model_validate_json(shown(monkeypatch, capsys, as_json=True)) == POOL


@pytest.mark.parametrize("text", ["", "[]", "<html>"])
def test_something_else_than_an_advertiser_is_said_to_be_none(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(nodes_view, "fetch", lambda *_, **__: "[]")
    with pytest.raises(typer.Exit):
        nodes_view.show(text, "http://desk", None, as_json=False)
