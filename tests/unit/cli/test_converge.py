"""`mediafleet converge` against an agent, a kubelet and a chain that stand in."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.unit.community.checks.test_tickets import GATEWAY, ORCHESTRATOR, log
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet.tools import converge
from mediafleet_common.clock import Clock
from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.core.community.checks.tickets import TOPIC

SUMMARY = "/api/v1/nodes/n1/proxy/stats/summary"


@dataclass
class Elsewhere:
    """All that is asked, over HTTP, on a clock that moves when somebody sleeps."""

    url: str = ""
    now: float = 1_795_939_200.0
    proxied: float = 1000.0
    """Bytes a second that the door counts."""
    counted: float | None = 1000.0
    """The same by the agent's kernel."""
    logs: list[Any] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def answer(self, path: str) -> str:
        since = self.now - 1_795_939_200.0
        if path == "/metrics":
            lines = ["# TYPE mediafleet_agent_proxy_bytes_total counter"]
            lines += [
                f'mediafleet_agent_proxy_bytes_total{{direction="in"}} {self.proxied * since}'
            ]
            if self.counted is not None:
                name = 'mediafleet_agent_network_bytes_total{direction="out"}'
                lines.append(f"{name} {self.counted * since}")
            return "\n".join([*lines, "mediafleet_agent_requests 0", ""])
        if path.startswith("/odd"):
            return "<html>"
        if path == SUMMARY:
            bytes_ = {"rxBytes": round(900 * since), "txBytes": round(95 * since)}
            ref = {"namespace": "media", "name": "orch-0"}
            network = {"time": rfc3339(self.now), **bytes_}
            return json.dumps({"pods": [{"podRef": ref, "network": network}]})
        assert path == "/api/v1/namespaces/media/pods/orch-0"
        return json.dumps({"spec": {"nodeName": "n1"}})


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    told = Elsewhere()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.say(told.answer(self.path))

        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.asked.append(call)
            block = {"number": "0x64", "timestamp": hex(int(told.now))}
            result = told.logs if call["method"] == "eth_getLogs" else block
            self.say(json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}))

        def say(self, text: str) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Silence."""

    monkeypatch.setattr(converge, "time", told)
    monkeypatch.setattr(converge, "SYSTEM", Clock(unix=lambda: told.now))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def run(*words: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(app, ["converge", *words])
    return done.exit_code, done.output.splitlines()


def test_bytes_of_door_and_kernel_stand_side_by_side(elsewhere: Elsewhere) -> None:
    code, lines = run("--agent", elsewhere.url)
    assert code == 0
    bytes_ = "within: reported 60,000, counted 60,000, ratio 1.000, expected 0.98 to 1.02"
    busy = "not measurable: reported 0, counted 0, ratio ?, expected 0.95 to 1.05"
    assert lines[0] == f"{elsewhere.url}: bytes a minute: {bytes_}"
    assert lines[1:] == [f"{elsewhere.url}: busy seconds: {busy}"]


def test_a_door_that_claims_more_than_the_kernel_saw_is_a_warning(elsewhere: Elsewhere) -> None:
    elsewhere.proxied = 1500
    code, lines = run("--agent", elsewhere.url, "--seconds", "600")
    assert code == 1
    assert "outside: reported 90,000, counted 60,000, ratio 1.500" in lines[0]


def test_a_kernel_that_does_not_say_makes_it_not_measurable(elsewhere: Elsewhere) -> None:
    elsewhere.counted = None
    code, lines = run("--agent", elsewhere.url)
    assert code == 0
    assert all("not measurable" in line for line in lines)


def test_an_agent_that_shows_something_else_says_nothing(elsewhere: Elsewhere) -> None:
    code, lines = run("--agent", f"{elsewhere.url}/odd?")
    assert code == 0
    assert all("not measurable" in line for line in lines)


def test_kubelet_counts_a_pod_in_place_of_its_agent(elsewhere: Elsewhere) -> None:
    elsewhere.counted = None
    given = ("--agent", elsewhere.url, "--kubelet", elsewhere.url, "--pod", "media/orch-0")
    code, lines = run(*given)
    assert code == 0
    assert "within: reported 60,000, counted 59,700" in lines[0]


def claim(pixels: float) -> tuple[str, ...]:
    return ("--recipient", ORCHESTRATOR, "--pixels", str(pixels), "--wei-per-pixel", "2")


def test_a_claim_is_held_to_the_tickets_of_its_recipient(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    file = tmp_path / "logs.json"
    others = [log(1000, "0x" + "77" * 20)] * 50
    file.write_text(json.dumps([log(10)] * 40 + others))
    code, [line] = run("--tickets", str(file), *claim(200))
    assert (code, "within: reported 400, counted 400" in line) == (0, True)
    code, [line] = run("--tickets", str(file), *claim(800))
    assert (code, "outside: reported 1,600, counted 400, ratio 4.000" in line) == (1, True)
    file.write_text(json.dumps({"result": [log(10)] * 20}))
    code, [line] = run("--tickets", str(file), *claim(800))
    assert (code, "not enough" in line) == (0, True)


def test_an_rpc_is_asked_for_the_tickets_of_the_recipient_alone(elsewhere: Elsewhere) -> None:
    elsewhere.logs = [log(10, blockNumber="0x20")] * 40
    given = ("--tickets", elsewhere.url, "--broker", GATEWAY, "--from-block", "17", *claim(200))
    code, [line] = run(*given)
    assert (code, "within" in line) == (0, True)
    _, asked = elsewhere.asked
    assert asked["method"] == "eth_getLogs"
    topics = [TOPIC, None, "0x" + "0" * 24 + ORCHESTRATOR[2:].lower()]
    assert asked["params"] == [
        {"address": GATEWAY, "topics": topics, "fromBlock": "0x11", "toBlock": "0x64"}
    ]


def test_what_is_no_list_of_tickets_is_said(tmp_path: Path) -> None:
    file = tmp_path / "logs.json"
    for text in ("{}", "[5]", "no json"):
        file.write_text(text)
        code, lines = run("--tickets", str(file), *claim(1))
        assert code == 1
        assert lines[0].startswith("--tickets: ")


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ((), "give --agent"),
        (("--tickets", "x"), "needs --recipient"),
        (("--tickets", "http://x", "--recipient", "0x1"), "--broker and --from-block"),
        (("--agent", "http://x", "--pod", "a/b"), "--kubelet and --pod"),
        (("--agent", "a", "--agent", "b", "--pod", "a/b", "--kubelet", "c"), "exactly one"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: tuple[str, ...], fix: str) -> None:
    code, lines = run(*words)
    assert code == 2
    assert fix in " ".join(" ".join(lines).replace("│", " ").split())
