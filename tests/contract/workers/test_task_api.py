"""The JSON API over real sockets: submit, state, result, events, cancel, refusals."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.kit.egress.scene import eventually
from tests.kit.workers.scene import Broker, Worker, broker, registration, worker

from mediafleet_scheduler.broker.serve import Times
from mediafleet_scheduler.broker.tasks import openapi
from mediafleet_scheduler.core.workers.pipelines import Pipeline

IMAGE = (Pipeline.TEXT_TO_IMAGE, "m/sd")
LLM = (Pipeline.LLM, "m/llm")
AUDIO = (Pipeline.AUDIO_TO_TEXT, "m/asr")
PICTURE = {"pipeline": "text-to-image", "request": {"model_id": "m/sd", "prompt": "a dog"}}
WORDS = {"model": "m/llm", "messages": [{"role": "user", "content": "hi"}]}
MIXED = "multipart/mixed; boundary=b"
DONE = (
    b"--b\r\nContent-Disposition: attachment; filename=a.png\r\nContent-Type: image/png\r\n\r\nPNG"
    b'\r\n--b\r\nContent-Type: application/json\r\n\r\n{"images":[{"url":"a.png"}]}\r\n--b--\r\n'
)


async def call(
    of: Broker, method: str, path: str = "", **more: Any
) -> tuple[int, dict[str, Any], aiohttp.ClientResponse]:
    url = f"{of.runner}/v1/tasks{path}"
    async with of.session.request(method, url, **more) as response:
        text = await response.read()
        return response.status, json.loads(text) if text else {}, response


async def submit(of: Broker, body: object = PICTURE, **more: Any) -> str:
    status, told, response = await call(of, "POST", json=body, **more)
    assert status == 202, told
    assert response.headers["Location"] == f"/v1/tasks/{told['id']}"
    return str(told["id"])


async def refused(of: Broker, method: str, path: str = "", **more: Any) -> tuple[int, Any, str]:
    status, told, _ = await call(of, method, path, **more)
    error = told["error"]
    assert error.keys() == {"code", "field", "message", "fix"}
    assert error["fix"]
    return status, error["field"], error["code"]


async def test_a_task_is_done_after_its_caller_has_gone_and_read_as_often_as_wanted(
    tmp_path: Path,
) -> None:
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        task = await submit(some)
        attempt, _, data = await one.job()
        assert data["request"] == PICTURE["request"]
        status, told, _ = await call(some, "GET", f"/{task}")
        assert (status, told["state"], told["attempts"]) == (200, "running", 1)
        assert told["worker"]
        status, told, _ = await call(some, "GET", f"/{task}/result")
        assert (status, told["state"]) == (202, "running")
        reading = asyncio.create_task(call(some, "GET", f"/{task}/result?wait=60"))
        await some.post_result(attempt, DONE, MIXED)
        url = "data:image/png;base64," + base64.b64encode(b"PNG").decode()
        for answer in (await reading, await call(some, "GET", f"/{task}/result")):
            assert answer[:2] == (200, {"images": [{"url": url}]})
        told = (await call(some, "GET", f"/{task}"))[1]
        assert (told["state"], told["worker"]) == ("done", None)
        assert 500 < told["expires_in_seconds"] <= 600
        assert (await call(some, "DELETE", f"/{task}"))[0] == 204
        assert await refused(some, "GET", f"/{task}") == (404, None, "unknown_task")
        left = [path.name for path in tmp_path.rglob("task-*")]  # noqa: ASYNC240 - of a test
        assert left == []


async def test_a_file_goes_along_as_a_part(tmp_path: Path) -> None:
    task = {"pipeline": "audio-to-text", "request": {"model_id": "m/asr"}}
    async with broker(tmp_path, AUDIO) as some, worker(some, registration(AUDIO)) as one:
        form = aiohttp.FormData()
        form.add_field("task", json.dumps(task))
        form.add_field("file", b"RIFF", filename="x.wav")
        status, told, _ = await call(some, "POST", data=form)
        assert status == 202
        _, _, data = await one.job()
        assert data["request"] == {"model_id": "m/asr", "audio": None}
        assert await one.input(data["input_url"]) == b"RIFF"
        assert (await call(some, "DELETE", f"/{told['id']}"))[0] == 204
        with pytest.raises(aiohttp.ClientResponseError, match="404"):
            await one.input(data["input_url"])


async def test_an_llms_words_are_read_as_they_come_and_once(tmp_path: Path) -> None:
    words = [b'data: {"choices":[{"delta":{"content":"w%d"}}]}\n\n' % n for n in range(3)]
    async with broker(tmp_path, LLM) as some, worker(some, registration(LLM)) as one:
        task = await submit(some, {"pipeline": "llm", "request": {**WORDS, "stream": True}})
        attempt, _, _ = await one.job()
        heard = asyncio.Event()

        async def tell() -> AsyncIterator[bytes]:
            yield words[0]
            await heard.wait()
            for each in words[1:]:
                yield each

        posting = asyncio.create_task(some.post_result(attempt, tell(), "text/event-stream"))
        async with some.session.get(f"{some.runner}/v1/tasks/{task}/events") as response:
            assert await response.content.read(len(words[0])) == words[0]
            heard.set()
            assert await response.read() == b"".join(words[1:])
        assert (await posting)[0] == 200
        assert await refused(some, "GET", f"/{task}/events") == (409, None, "read_already")
        assert await refused(some, "GET", f"/{task}/result") == (409, None, "streams")
        assert (await call(some, "GET", f"/{task}"))[1]["state"] == "done"


async def test_a_cancelled_task_ends_for_whoever_waits_for_it(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        task = await submit(some)
        attempt, _, _ = await one.job()
        reading = asyncio.create_task(refused(some, "GET", f"/{task}/result?wait=60"))
        queued = await submit(some)
        assert (await call(some, "DELETE", f"/{task}"))[0] == 204
        assert await reading in [(410, None, "cancelled"), (404, None, "unknown_task")]
        assert (await call(some, "GET", f"/{queued}"))[1]["state"] == "waiting"
        await some.post_result(attempt, b"too late", "livepeer/ai-worker-error")
        attempt, _, _ = await one.job()
        await some.post_result(attempt, DONE, MIXED)
        assert (await call(some, "GET", f"/{queued}/result?wait=60"))[0] == 200


async def test_a_task_that_fails_says_why(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        task = await submit(some)
        attempt, _, _ = await one.job()
        await some.post_result(attempt, b"out of memory", "livepeer/ai-worker-error")
        status, told, _ = await call(some, "GET", f"/{task}/result?wait=60")
        assert (status, told["error"]["code"]) == (502, "failed")
        assert told["error"]["message"] == "out of memory"
        task = await submit(some, {**PICTURE, "timeout_seconds": 0.05})
        assert await refused(some, "GET", f"/{task}/result?wait=60") == (504, None, "timed_out")


async def test_results_expire_and_tasks_are_bounded(tmp_path: Path) -> None:
    times = Times(keep_seconds=0.05, most_kept_tasks=1)
    async with (
        broker(tmp_path, IMAGE, times=times) as some,
        worker(some, registration(IMAGE)) as one,
    ):
        task = await submit(some)
        assert await refused(some, "POST", json=PICTURE) == (429, None, "too_many_tasks")
        await some.post_result((await one.job())[0], DONE, MIXED)
        await eventually(lambda: not list(tmp_path.rglob("task-*")))
        assert await refused(some, "GET", f"/{task}") == (404, None, "unknown_task")
        await submit(some)


async def session_of(one: Worker, two: Worker) -> str:
    waiting = {
        asyncio.create_task(each.job(), name=name) for name, each in (("one", one), ("two", two))
    }
    (first,), (rest,) = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    rest.cancel()
    await one.broker.post_result(first.result()[0], DONE, MIXED)
    return first.get_name()


async def test_tasks_of_a_session_go_to_one_worker(tmp_path: Path) -> None:
    async with (
        broker(tmp_path, IMAGE) as some,
        worker(some, registration(IMAGE)) as one,
        worker(some, registration(IMAGE)) as two,
    ):
        seen = set()
        for _ in range(4):
            task = await submit(some, {**PICTURE, "session": "s"})
            seen.add(await session_of(one, two))
            assert (await call(some, "GET", f"/{task}/result?wait=60"))[0] == 200
        assert len(seen) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"json": {**PICTURE, "extra": 1}}, (422, "extra", "invalid")),
        ({"json": {"request": {}}}, (422, "pipeline", "invalid")),
        ({"json": {**PICTURE, "pipeline": "dream"}}, (422, "pipeline", "invalid")),
        ({"json": {**PICTURE, "session": ""}}, (422, "session", "invalid")),
        ({"json": {**PICTURE, "timeout_seconds": 0}}, (422, "timeout_seconds", "invalid")),
        ({"json": {**PICTURE, "request": {"prompt": "x"}}}, (422, "request.model_id", "invalid")),
        (
            {"json": {**PICTURE, "request": {"model_id": "m/sd"}}},
            (422, "request.prompt", "invalid"),
        ),
        (
            {"json": {**PICTURE, "request": {"model_id": "no", "prompt": "x"}}},
            (422, "request.model_id", "unknown_model"),
        ),
        ({"json": []}, (422, "body", "invalid")),
        (
            {"json": {"pipeline": "audio-to-text", "request": {"model_id": "m/asr"}}},
            (422, "file", "invalid"),
        ),
        (
            {"data": b"{", "headers": {"Content-Type": "application/json"}},
            (400, "body", "unreadable"),
        ),
        (
            {"data": b"x", "headers": {"Content-Type": "text/x"}},
            (415, "Content-Type", "unreadable"),
        ),
        (
            {"data": b"x", "headers": {"Content-Type": "multipart/form-data"}},
            (400, "body", "unreadable"),
        ),
    ],
)
async def test_a_refusal_names_the_field_and_the_fix(
    tmp_path: Path, body: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    async with broker(tmp_path, IMAGE, AUDIO) as some:
        assert await refused(some, "POST", **body) == expected
        assert not list(tmp_path.rglob("task-*"))  # noqa: ASYNC240 - of a test


async def test_a_body_beyond_the_bound_is_refused_and_not_kept(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"pipeline": "llm", "request": {"model": "'
        for _ in range(9 * 16):
            yield b"x" * (1 << 16)

    async with broker(tmp_path, IMAGE) as some:
        headers = {"Content-Type": "application/json"}
        got = await refused(some, "POST", data=endless(), headers=headers)
    assert got == (413, "body", "too_long")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([("file", b"x")], (422, "task", "invalid")),
        ([("task", json.dumps(PICTURE)), ("file", b"x")], (422, "file", "invalid")),
        ([("task", "{}"), ("other", "x")], (422, "other", "invalid")),
        ([("task", "{}"), ("task", "{}")], (422, "task", "invalid")),
    ],
)
async def test_a_form_that_is_none_is_refused_with_its_part(
    tmp_path: Path, parts: list[tuple[str, Any]], expected: tuple[int, str, str]
) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, content in parts:
        form.add_field(name, content, filename="x" if name == "file" else None)
    async with broker(tmp_path, IMAGE) as some:
        assert await refused(some, "POST", data=form) == expected
        assert await refused(some, "GET", "/x/result?wait=-1") == (404, None, "unknown_task")
        task = await submit(some)
        assert await refused(some, "GET", f"/{task}/result?wait=-1") == (422, "wait", "invalid")


async def test_only_who_has_a_token_is_served(tmp_path: Path) -> None:
    def headers(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    async with broker(tmp_path, IMAGE, api_tokens=lambda: ["one", "two"]) as some:
        assert await refused(some, "POST", json=PICTURE) == (401, None, "unauthorized")
        for wrong in ("", "three", "on"):
            got = await refused(some, "POST", json=PICTURE, headers=headers(wrong))
            assert got == (401, None, "unauthorized")
        task = await submit(some, headers=headers("two"))
        assert (await refused(some, "GET", f"/{task}"))[0] == 401
        assert (await call(some, "GET", f"/{task}", headers=headers("one")))[0] == 200


async def test_without_tokens_a_web_page_of_elsewhere_may_not_call(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some:
        got = await refused(some, "POST", json=PICTURE, headers={"Host": "evil.example"})
        assert got == (403, None, "forbidden")


async def test_a_task_is_explained_from_either_door(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        task = await submit(some)
        await one.job()
        async with some.session.get(f"{some.runner}/explain?task={task}") as response:
            told = await response.json()
        assert told["state"] == "running"
        assert told["attempts"][0]["why"] == "it alone had room; warm, 0 of 1 in use"
        one.leave()
        await eventually(lambda: not some.serving.jobs.dispatcher.workers)
        async with some.session.get(f"{some.runner}/explain?task={task}") as response:
            told = await response.json()
        assert told["state"] == "waiting"
        assert told["attempts"][0]["outcome"] == "the worker is gone"
        async with some.session.get(f"{some.runner}/explain?task=x") as response:
            assert response.status == 404


async def test_the_document_tells_every_route_and_only_what_it_defines(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some:
        async with some.session.get(f"{some.runner}/v1/openapi.json") as response:
            told = await response.json()
        async with some.session.get(f"{some.runner}/v1/") as response:
            page = await response.text()
    assert told == json.loads(json.dumps(openapi.document()))
    found = {(method, path) for path, each in told["paths"].items() for method in each}
    assert found == {
        ("post", "/v1/tasks"),
        ("get", "/v1/tasks/{id}"),
        ("delete", "/v1/tasks/{id}"),
        ("get", "/v1/tasks/{id}/result"),
        ("get", "/v1/tasks/{id}/events"),
    }
    names = set(told["components"]["schemas"])
    text = json.dumps(told)
    used = {each.split('"')[0] for each in text.split("#/components/schemas/")[1:]}
    assert used <= names
    assert all(path in page for path in told["paths"])
    assert "<script" not in page
