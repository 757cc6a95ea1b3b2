"""`mediafleet simulate --from-livekit`: pages, limits, and what is said when a server misbehaves.

An unmodified livekit-server is asked in tests/real/egress/test_from_livekit.py.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet.simulate import livekit

SECRET = "a-secret-of-thirty-two-characters-"
PAIR = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": SECRET, "COLUMNS": "200"}
INFO = {"started_at": "4000000000000000000", "ended_at": "4000000060000000000", "track": {}}
"""In a hundred years, so that it is within the last days for long."""


class Twirp(ThreadingHTTPServer):
    """Answers ListEgress with what it is given: status and body, by page."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Twirp

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"] or "", body))
        page = body.get("page_token", {}).get("token", "")
        status, answer = self.server.pages[page]
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.server.url)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def twirp() -> Iterator[Twirp]:
    with Twirp() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def page(count: int, following: str = "") -> tuple[int, bytes]:
    answer: dict[str, Any] = {"items": [INFO] * count}
    if following:
        answer["next_page_token"] = {"token": following}
    return 200, json.dumps(answer).encode()


def ask(url: str, *more: str, **env: str) -> Any:
    arguments = ["simulate", "--from-livekit", url, "--mode", "pack", *more]
    return CliRunner().invoke(app, arguments, env=PAIR | env)


def test_all_pages_are_read_with_a_token_that_may_record_and_ends_soon(twirp: Twirp) -> None:
    twirp.pages = {"": page(2, "second"), "second": page(1, "third"), "third": page(3)}
    result = ask(twirp.url, "-o", "json")
    assert json.loads(result.stdout)["modes"]["pack"]["jobs"] == 6
    path, token, body = twirp.asked[0]
    assert (path, body) == ("/twirp/livekit.Egress/ListEgress", {})
    assert twirp.asked[1][2] == {"page_token": {"token": "second"}}
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert (claims["iss"], claims["video"]) == ("key", {"roomRecord": True})
    assert claims["exp"] - claims["nbf"] < 700


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (401, b'{"code":"unauthenticated","msg":"invalid token"}', "401: invalid token. Check"),
        (403, b'{"code":"permission_denied","msg":"denied"}', "LIVEKIT_API_SECRET are a pair"),
        (404, b"404 page not found", "Give the address of livekit-server itself"),
        (302, b"", "Give the address of livekit-server itself"),
        (500, b'{"msg":"egress not connected (redis required)"}', "only with `redis` in its"),
        (503, b"\x1b[31mno", "says 503. Its log says why"),
        (200, b"<html>", "does not answer as a livekit-server"),
        (200, b'{"items": 3}', "does not answer as a livekit-server"),
        (200, b"[" * 100_000, "does not answer as a livekit-server"),
        (200, b"{}", "tells of no egress that began in the last 7 days"),
        (200, b'{"items": [null, 3, {"track": 1}]}', "tells of no egress"),
    ],
)
def test_a_bad_answer_is_told_with_what_to_correct(
    twirp: Twirp, status: int, body: bytes, wanted: str
) -> None:
    twirp.pages = {"": (status, body)}
    result = ask(twirp.url)
    assert result.exit_code == 1
    assert wanted in result.stderr
    assert SECRET not in result.output
    assert len(twirp.asked) == 1, "a redirect is not followed: the token stays here"


def test_what_is_too_large_or_without_end_is_left(
    twirp: Twirp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(livekit, "MAX_BYTES", 100_000)
    twirp.pages = {"": page(10, "again"), "again": page(10, "again")}
    assert "write those of one room to a file" in ask(twirp.url).stderr
    monkeypatch.setattr(livekit, "MAX_PAGES", 3)
    assert "more than 3 pages" in ask(twirp.url).stderr


def test_a_server_that_drips_is_left_in_time(twirp: Twirp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livekit, "_IN_ALL_SECONDS", -1.0)
    twirp.pages = {"": page(1)}
    assert "s to tell all" in ask(twirp.url).stderr


def test_nobody_there_is_told() -> None:
    with Twirp() as server:
        url = server.url
    result = ask(url)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{url} does not answer: ")


@pytest.mark.parametrize(
    ("arguments", "env", "wanted"),
    [
        ((), {"LIVEKIT_API_KEY": ""}, "needs --api-key or $LIVEKIT_API_KEY"),
        ((), {"LIVEKIT_API_SECRET": " "}, "needs --api-secret-file or $LIVEKIT_API_SECRET"),
        (("--api-secret-file", "/no/file"), {}, "--api-secret-file /no/file: No such file"),
        (("--api-secret-file", "/dev/null"), {}, "it is no regular file"),
        (("burst",), {}, "give a TRACE, or --from-livekit URL"),
        (("--days", "0"), {}, "--days"),
        (("--plot", "no-such-folder/a.svg"), {}, "it cannot be written there"),
    ],
)
def test_options_that_do_not_say_enough_are_refused_before_anybody_is_asked(
    arguments: tuple[str, ...], env: dict[str, str], wanted: str
) -> None:
    result = ask("http://127.0.0.1:1", *arguments, **env)
    assert result.exit_code == 2
    assert wanted in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("livekit.example.com", "give https://HOST or wss://HOST"),
        ("ftp://a", "give https://HOST or wss://HOST"),
        ("https://a:port", "give https://HOST or wss://HOST"),
        ("https://key:hidden@a", "takes no password in its URL"),
    ],
)
def test_a_url_is_that_of_a_server_and_holds_no_password(url: str, wanted: str) -> None:
    result = ask(url)
    assert result.exit_code == 2
    assert wanted in " ".join(result.output.replace("│", " ").split())
    assert "hidden" not in result.output


def test_a_trace_or_a_server_is_needed(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["simulate"], env=PAIR)
    assert result.exit_code == 2
    assert "give a TRACE, or --from-livekit URL" in result.output


def test_a_secret_shows_in_no_text_of_the_options() -> None:
    assert SECRET not in repr(livekit.Server("https://a", "key", SECRET))
