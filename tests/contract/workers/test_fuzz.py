"""Whatever comes to a broker's doors: it stays, tells no secret, and writes nowhere else.

`MEDIAFLEET_FUZZ` says how many examples each door gets; few by default.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import resource
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kit.workers import hostile
from tests.kit.workers.scene import (
    AUTHORIZATION,
    SECRET,
    Broker,
    Worker,
    broker,
    registration,
    worker,
)

from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.registrations import EARLIER_PATH, PATH
from mediafleet_scheduler.broker.serve import Times
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import Rules

EXAMPLES: Final = int(os.environ.get("MEDIAFLEET_FUZZ", "40"))
TOKEN: Final = "runner-t0ken"
API_TOKEN: Final = "api-t0ken"
MODEL: Final = (Pipeline.TEXT_TO_IMAGE, "m/sd")
SOON: Final = [
    ModelEntry(pipeline=each, model="m/none", wait_seconds=0.01)
    for each in (Pipeline.TEXT_TO_IMAGE, Pipeline.LLM, Pipeline.UPSCALE)
]
"""Nobody serves them: their tasks end at once."""
SURVIVED: Final = {200, 400, 401, 422, 500}
"""Statuses that a stock orchestrator survives."""
MOST_GROWTH: Final = 128 * 1024
"""Of memory, in kB."""

texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=40)
media = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), max_size=40)
raw = st.binary(max_size=60).map(lambda data: data.translate(None, b"\r\n\0"))
deep = st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"[" * 900 + b"]" * 900])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
halves = st.sampled_from([b'{"%s":"\\ud800"}' % name for name in (b"model_id", b"Err", b"session")])
jsons = st.one_of(values.map(json.dumps).map(str.encode), deep, halves)
bodies = st.one_of(jsons, st.binary(max_size=200))
task_ids = st.one_of(st.integers(0, 1 << 64).map(lambda n: b"%d" % n), raw)


def task(request: Any) -> bytes:
    return json.dumps({"pipeline": "text-to-image", "request": request}).encode()


def form(name: str, kind: str, body: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n{kind}\r\n\r\n'
    return head.encode(errors="surrogatepass") + body + b"\r\n--b--\r\n"


forms = st.builds(
    form,
    st.sampled_from(["image", "task", "file", "_charset_", "model_id", "seed", "\ud800"]) | texts,
    st.sampled_from(["X: y", "no header", "Content-Type: multipart/mixed; boundary=c"]) | texts,
    bodies,
)


def part(name: str, kind: str, body: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: attachment; filename="{name}"\r\nContent-Type: {kind}'
    return head.encode(errors="surrogatepass") + b"\r\n\r\n" + body + b"\r\n"


END: Final = b"--b--\r\n"
PATHS: Final = ["a.png", "../x.png", "/etc/x.png", "a/../../x.png", "..", "a.png\\"]
names = st.sampled_from(PATHS) | texts
results = st.lists(
    st.builds(part, names, st.sampled_from(["image/png", "application/json"]) | texts, bodies),
    max_size=3,
).map(lambda parts: b"".join(parts) + END)
earlier = st.builds(
    lambda id_, data, words: json.dumps({"TaskID": id_, "Data": data, "Err": words}).encode(),
    st.integers(0, 1 << 70) | values,
    bodies.map(lambda body: base64.b64encode(body).decode()) | texts,
    values,
)
Attack = Callable[["Scene"], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Scene:
    """A broker, and a worker of it that works."""

    broker: Broker
    worker: Worker

    async def ask(self) -> tuple[int, str]:
        body = {"model_id": MODEL[1], "prompt": "x"}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self.broker.runner}/text-to-image"
        async with self.broker.session.post(url, json=body, headers=headers) as response:
            try:
                return response.status, await response.text(errors="replace")
            except aiohttp.ClientError:
                assert response.content_type == "text/event-stream"
                return response.status, ""


async def works(scene: Scene) -> None:
    """A task comes back."""
    asking = asyncio.create_task(scene.ask())
    attempt, _, _ = await scene.worker.job()
    good = part("a.png", "image/png", b"x") + part("", "application/json", b"{}") + END
    await scene.broker.post_result(attempt, good, "multipart/mixed; boundary=b")
    assert await asking == (200, "{}")


def runner_door(path: bytes, kind: bytes, body: bytes, token: bytes, *, whole: bool) -> Attack:
    async def attack(scene: Scene) -> None:
        headers = [(b"Authorization", b"Bearer " + token), (b"Content-Type", kind)]
        data = hostile.http1(b"POST", path, headers, body)
        port = scene.broker.serving.http_port
        answer = await hostile.by_http1(port, data, tls=False, whole=whole)
        if whole and not path.startswith(b"/v1"):
            assert int(answer.split(b" ", 2)[1]) in SURVIVED | {404, 405}, answer
        assert b"Internal Server Error" not in answer

    return attack


def worker_door(headers: list[hostile.Header], body: bytes, *, whole: bool) -> Attack:
    async def attack(scene: Scene) -> None:
        port = scene.broker.serving.port
        data = hostile.http1(b"POST", b"/aiResults", headers, body)
        await hostile.by_http1(port, data, tls=True, whole=whole)
        above = [(b":method", b"POST"), (b":path", b"/aiResults"), (b":scheme", b"https")]
        given = [(name.lower(), value) for name, value in headers]
        await hostile.by_http2(port, [*above, (b":authority", b"x"), *given], body, whole=whole)

    return attack


def input_door(path: bytes) -> Attack:
    async def attack(scene: Scene) -> None:
        data = hostile.http1(b"GET", b"/inputs/" + path, [], b"")
        answer = await hostile.by_http1(scene.broker.serving.port, data, tls=True, whole=True)
        assert answer.split(b" ", 2)[1] in (b"404", b"400"), answer

    return attack


def registering(path: str, more: list[hostile.Header], message: bytes, *, whole: bool) -> Attack:
    async def attack(scene: Scene) -> None:
        headers = [(b":method", b"POST"), (b":path", path.encode()), (b":scheme", b"https"), *more]
        framed = struct.pack(">BI", 0, len(message)) + message
        await hostile.by_http2(scene.broker.serving.port, headers, framed, whole=whole)

    return attack


def frames(data: bytes) -> Attack:
    return lambda scene: hostile.frames(scene.broker.serving.port, data)


def answered(kind: str, body: bytes, *, twice: bool) -> Attack:
    """A worker's answer to a job that it has."""

    async def attack(scene: Scene) -> None:
        asking = asyncio.create_task(scene.ask())
        attempt, _, _ = await scene.worker.job()
        posts = [scene.broker.post_result(attempt, body, kind) for _ in range(1 + twice)]
        for status, _ in await asyncio.gather(*posts):
            assert status in {200, 400}
        await scene.broker.post_result(attempt, b"over", "livepeer/ai-worker-error")
        status, said = await asking
        assert status in SURVIVED
        assert status == 200 or SECRET not in said
        if said and kind.startswith("multipart"):
            json.loads(said, parse_constant=pytest.fail)

    return attack


def offered(name: str, capacity: int, secret: str) -> bytes:
    message = registration((Pipeline.LLM, name), capacity=capacity, secret=secret)
    message.capabilities.bitstring.append(capacity)
    return message.SerializeToString()


MEDIA = ["multipart/mixed; boundary=b", "text/event-stream", "livepeer/ai-worker-error"]
secrets = st.sampled_from([SECRET.encode(), b"guessed", b"\xff"]) | raw
paths = [b"/text-to-image", b"/llm", b"/upscale", b"/v1/tasks", b"/byoc/x/llm/m", b"/live/x/llm/m"]
kinds = [b"application/json", b"multipart/form-data; boundary=b", b"multipart/form-data"]
asked = st.fixed_dictionaries(
    {"model_id": st.just("m/none"), "model": st.just("m/none")},
    optional={"prompt": values, "messages": values, "max_tokens": values, "width": values},
).map(lambda request: json.dumps(request).encode())
authority: st.SearchStrategy[list[hostile.Header]] = st.one_of(
    st.just([]), raw.map(lambda name: [(b":authority", name)])
)
named = st.lists(
    st.tuples(st.sampled_from([b"mediafleet-worker", b"mediafleet-worker-uid", b"te"]), raw),
    max_size=3,
)
attacks = st.one_of(
    st.builds(
        runner_door,
        st.sampled_from(paths),
        st.sampled_from(kinds) | raw,
        st.one_of(bodies, forms, asked, values.map(task)),
        st.sampled_from([TOKEN.encode(), API_TOKEN.encode(), b"\xff"]),
        whole=st.booleans(),
    ),
    st.builds(
        worker_door,
        st.tuples(secrets, task_ids, st.sampled_from([*MEDIA, "application/json"])).map(
            lambda drawn: [
                (b"Authorization", AUTHORIZATION.encode()),
                (b"Credentials", drawn[0]),
                (b"TaskId", drawn[1]),
                (b"Content-Type", drawn[2].encode()),
            ]
        ),
        st.one_of(bodies, results, earlier),
        whole=st.booleans(),
    ),
    st.builds(input_door, raw.map(lambda data: data.replace(b" ", b""))),
    st.builds(
        registering,
        st.sampled_from([PATH, EARLIER_PATH]),
        st.tuples(authority, named).map(lambda both: [*both[0], *both[1]]),
        st.one_of(
            st.binary(max_size=200),
            st.builds(offered, texts, st.integers(0, 1 << 31), st.sampled_from([SECRET, "x"])),
        ),
        whole=st.booleans(),
    ),
    st.builds(frames, st.binary(max_size=300)),
    st.builds(
        answered,
        st.sampled_from(MEDIA) | media,
        st.one_of(results, bodies, st.just(SECRET.encode())),
        twice=st.booleans(),
    ),
)


def posted(path: bytes, kind: bytes, body: bytes) -> Attack:
    token = API_TOKEN if path.startswith(b"/v1") else TOKEN
    return runner_door(path, kind, body, token.encode(), whole=True)


AGENT: Final = (b"Authorization", AUTHORIZATION.encode())
NOT_A_NUMBER: Final = part("", "application/json", b'{"a":NaN}') + END
FOUND: Final = [
    worker_door([AGENT, (b"Credentials", b"\xff")], b"", whole=True),
    runner_door(paths[0], kinds[0], b"{}", b"\xff", whole=True),
    runner_door(paths[3], kinds[0], b"{}", b"\xff", whole=True),
    posted(paths[0], kinds[0], b"[" * 100_000),
    posted(paths[2], kinds[1], form("_charset_", "X: y", b"x" * 99)),
    posted(paths[2], kinds[1], form("a", "no header", b"")),
    posted(paths[3], kinds[0], task({"model_id": "\ud800"})),
    posted(paths[3], kinds[1], form("\ud800", "X: y", b"")),
    answered(MEDIA[0], NOT_A_NUMBER, twice=False),
    answered("multipart/mixed; boundary=\u20ac", b"x", twice=False),
    answered(MEDIA[0], NOT_A_NUMBER, twice=True),
    answered(MEDIA[2], SECRET.encode(), twice=False),
]
"""What broke a broker once, or told a secret."""


@contextlib.asynccontextmanager
async def scene_of(tmp_path: Path) -> AsyncIterator[Scene]:
    more: dict[str, Any] = {
        "token": lambda: TOKEN,
        "api_tokens": lambda: [API_TOKEN],
        "spool": tmp_path / "spool",
        "times": Times(rules=Rules(faults=1_000_000)),
    }
    async with (
        broker(tmp_path, MODEL, *SOON, **more) as some,
        worker(some, registration(MODEL)) as one,
    ):
        yield Scene(some, one)


def test_no_door_breaks_the_broker_tells_a_secret_or_writes_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").mkdir()
    caplog.set_level(logging.INFO)
    with asyncio.Runner() as runner:
        entering = scene_of(tmp_path)
        scene = runner.run(entering.__aenter__())
        runner.run(works(scene))
        # Tables of all characters, 200 MB while they are made, once for each clone.
        attacks.validate()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(attacks)
        def fuzz(attack: Attack) -> None:
            runner.run(attack(scene))

        for attack in FOUND:
            runner.run(attack(scene))
        fuzz()
        runner.run(works(scene))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        shown = runner.run(told(scene))
        dispatcher = scene.broker.serving.jobs.dispatcher
        assert dispatcher.load(dispatcher.workers[0].id) == 0
        runner.run(entering.__aexit__(None, None, None))
    assert [each.getMessage() for each in caplog.records if each.exc_info] == []
    for secret in (SECRET, TOKEN, API_TOKEN):
        assert secret not in caplog.text
        assert secret not in shown
    assert {each.name for each in tmp_path.iterdir()} == {"spool", "tls.pem"}
    assert list((tmp_path / "spool").iterdir()) == []
    assert grown < MOST_GROWTH


async def told(scene: Scene) -> str:
    """All that the broker shows."""
    found = []
    for path in ("/metrics", "/v1/openapi.json", "/readyz"):
        async with scene.broker.session.get(scene.broker.runner + path) as response:
            found.append(await response.text())
    return "".join(found)
