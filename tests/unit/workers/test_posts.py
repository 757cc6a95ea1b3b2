"""How a worker posts a result whose connection ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self, cast

import aiohttp
import pytest

from mediafleet_scheduler.worker import posts
from mediafleet_scheduler.worker.brokers import Place
from mediafleet_scheduler.worker.posts import Post
from mediafleet_scheduler.worker.runners import Answer
from mediafleet_scheduler.worker.times import Times


class Answered:
    """A post's answer, or the error that it ends with."""

    def __init__(self, end: Exception | int | None) -> None:
        self._error = end if isinstance(end, Exception) else None
        self.status = end if isinstance(end, int) else 200

    async def text(self) -> str:
        return "words"

    async def __aenter__(self) -> Self:
        if self._error is not None:
            raise self._error
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""


class Session:
    """Where results are posted to: each post ends with the next of these."""

    def __init__(self, *ends: Exception | int | None) -> None:
        self._ends = list(ends)
        self.posted: list[Any] = []
        self.urls: list[str] = []

    def post(self, url: str, *, data: Any, **__: object) -> Answered:
        self.posted.append(data)
        self.urls.append(url)
        return Answered(self._ends.pop(0))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts, "_FIRST_PAUSE_SECONDS", 0.0)


def post(session: Session, *others: str, seconds: float = 60.0) -> Post:
    place = Place("broker:8935", "broker")
    times = Times(post_again_seconds=seconds)
    return Post(
        cast("aiohttp.ClientSession", session),
        lambda: "s",
        times,
        place,
        7,
        "upscale",
        lambda: [Place(each, "broker") for each in others],
    )


async def test_a_whole_result_whose_connection_ends_is_posted_again_and_made_anew() -> None:
    session = Session(aiohttp.ServerDisconnectedError(), None)
    await post(session).answer(Answer({"images": []}, {"a.png": ("image/png", b"PNG")}))
    first, second = session.posted
    assert first is not second
    assert first.content_type == second.content_type


async def test_a_result_that_never_goes_through_is_given_up() -> None:
    session = Session(aiohttp.ServerDisconnectedError(), None)
    await post(session, seconds=0.0).error("words")
    assert session.posted == [b"words"]


async def test_a_broker_that_is_not_there_is_tried_in_turn_with_the_others() -> None:
    away = aiohttp.ConnectionTimeoutError()
    session = Session(away, 503, 502, away, away, None)
    await post(session, "b:1", "c:1").error("words")
    hosts = [url.removeprefix("https://").partition(":")[0] for url in session.urls]
    assert hosts == ["broker", "b", "broker", "c", "broker", "b"]


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_a_result_that_is_refused_is_not_posted_again(status: int) -> None:
    session = Session(status, None)
    await post(session).error("words")
    assert len(session.posted) == 1


@pytest.mark.parametrize("error", [TimeoutError(), aiohttp.ServerTimeoutError()])
async def test_a_result_that_took_too_long_is_not_posted_again(error: Exception) -> None:
    session = Session(error, None)
    await post(session).error("words")
    assert len(session.posted) == 1


async def test_a_stream_is_posted_once() -> None:
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1"

    session = Session(aiohttp.ServerDisconnectedError(), None)
    await post(session).events(events())
    assert len(session.posted) == 1
