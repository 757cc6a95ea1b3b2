"""A broker over real TLS: workers register by gRPC, orchestrators call it as a runner."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import grpc
import h2.connection
import h2.events
import h2.settings
import pytest
from tests.kit.egress.scene import eventually
from tests.kit.workers.captures import capture
from tests.kit.workers.scene import (
    AUTHORIZATION,
    SECRET,
    Broker,
    broker,
    registration,
    worker,
)

from mediafleet_common.probes.load import named
from mediafleet_common.wire.ai_worker_pb2 import RegisterAIWorkerRequest
from mediafleet_scheduler.broker import registrations, requests
from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.runner_api import FULL
from mediafleet_scheduler.broker.serve import Times
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.views import Target

IMAGE = (Pipeline.TEXT_TO_IMAGE, "m/sd")
UPSCALE = (Pipeline.UPSCALE, "m/up")
LLM = (Pipeline.LLM, "m/llm")
AUDIO = (Pipeline.AUDIO_TO_TEXT, "m/asr")
PROMPT = {"model_id": "m/sd", "prompt": "Cool dog at a rave party", "width": 1024, "height": 1024}


def captured(name: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of a result as a stock worker posted it."""
    head, _, body = capture(name).partition(b"\r\n\r\n")
    lines = head.decode().splitlines()[1:]
    return dict(line.split(": ", 1) for line in lines), body


async def ask(of: Broker, body: object, path: str = "/text-to-image") -> tuple[int, object]:
    async with of.session.post(of.runner + path, json=body) as response:
        return response.status, await response.json()


PNG = b"\x89PNG\r\n\x1a\nnot much of a picture"


def result(name: str = "47309c52.png", content: bytes = PNG) -> bytes:
    return (
        b"--b\r\nContent-Disposition: attachment; filename=" + name.encode() + b"\r\n"
        b"Content-Type: image/png\r\n\r\n" + content + b"\r\n"
        b"--b\r\nContent-Type: application/json\r\n\r\n"
        b'{"images":[{"nsfw":false,"seed":7,"url":"' + name.encode() + b'"}]}\r\n--b--\r\n'
    )


async def test_a_request_comes_back_as_a_runner_answers_with_the_file_in_it(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        asking = asyncio.create_task(ask(some, PROMPT))
        attempt, pipeline, data = await one.job()
        assert pipeline == "text-to-image"
        assert data == {"input_url": "", "request": PROMPT}
        assert await some.post_result(attempt, result(), "multipart/mixed; boundary=b") == (
            200,
            "ok",
        )
        status, body = await asking
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert (status, body) == (200, {"images": [{"nsfw": False, "seed": 7, "url": url}]})
    left = [path.name for path in tmp_path.iterdir()]  # noqa: ASYNC240 - of a test
    assert left == ["tls.pem"]


async def test_an_uploaded_file_is_fetched_by_the_worker_over_http_1_while_the_job_is_there(
    tmp_path: Path,
) -> None:
    form = aiohttp.FormData()
    form.add_field("image", PNG, filename="image")
    form.add_field("prompt", "hi")
    form.add_field("model_id", "m/up")
    form.add_field("num_inference_steps", "20")
    async with broker(tmp_path, UPSCALE) as some, worker(some, registration(UPSCALE)) as one:

        async def upload() -> int:
            async with some.session.post(f"{some.runner}/upscale", data=form) as response:
                return response.status

        asking = asyncio.create_task(upload())
        attempt, _, data = await one.job()
        expected = {"image": None, "model_id": "m/up", "prompt": "hi", "num_inference_steps": 20}
        assert data["request"] == expected
        assert re.fullmatch(rf"https://{some.authority}/inputs/[\w-]{{32}}", data["input_url"])
        assert await one.input(data["input_url"]) == PNG
        await some.post_result(attempt, result(), "multipart/mixed; boundary=b")
        assert await asking == 200
        with pytest.raises(aiohttp.ClientResponseError, match="404"):
            await one.input(data["input_url"])


async def test_an_llms_words_are_passed_on_as_they_come(tmp_path: Path) -> None:
    request = {"model": "m/llm", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    words = [b'data: {"choices":[{"delta":{"content":"w%d "}}]}\n\n' % n for n in range(3)]
    async with broker(tmp_path, LLM) as some, worker(some, registration(LLM)) as one:
        heard = asyncio.Event()

        async def tell() -> AsyncIterator[bytes]:
            for word in words:
                yield word
                await heard.wait()

        async def listen() -> list[bytes]:
            found = []
            async with some.session.post(f"{some.runner}/llm", json=request) as response:
                assert response.headers["Content-Type"] == "text/event-stream"
                async for line in response.content:
                    found.append(line)
                    heard.set()
            return found

        asking = asyncio.create_task(listen())
        attempt, _, _ = await one.job()
        posted = await some.post_result(attempt, tell(), "text/event-stream")
        assert posted == (200, "ok")
        assert b"".join(await asking) == b"".join(words)


async def test_an_llms_words_end_after_the_last_one_though_its_worker_does_not_end_them(
    tmp_path: Path,
) -> None:
    request = {"model": "m/llm", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    word = b'data: {"choices":[{"delta":{"content":"w"},"finish_reason":"stop"}]}\n\n'
    async with broker(tmp_path, LLM) as some, worker(some, registration(LLM)) as one:

        async def tell() -> AsyncIterator[bytes]:
            # What a stock orchestrator does not survive: chunks without a choice.
            yield b'data: {"choices":[]}\n\n' + word + b'data: {"error":"late"}\n\n'
            await asyncio.Event().wait()

        async def listen() -> bytes:
            async with some.session.post(f"{some.runner}/llm", json=request) as response:
                return await response.read()

        asking = asyncio.create_task(listen())
        attempt, _, _ = await one.job()
        posting = asyncio.create_task(some.post_result(attempt, tell(), "text/event-stream"))
        assert await asking == word
        assert some.serving.jobs.dispatcher.in_use(Target(*LLM)) == 0
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)


@pytest.mark.parametrize(("body", "status"), [({"choices": [{}]}, 200), ({}, 500)])
async def test_a_whole_answer_to_who_asked_for_a_stream_has_a_choice(
    tmp_path: Path, body: dict[str, object], status: int
) -> None:
    request = {"model": "m/llm", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with broker(tmp_path, LLM) as some, worker(some, registration(LLM)) as one:
        asking = asyncio.create_task(some.session.post(f"{some.runner}/llm", json=request))
        attempt, _, _ = await one.job()
        part = b"--b\r\nContent-Type: application/json\r\n\r\n" + json.dumps(body).encode()
        await some.post_result(attempt, part + b"\r\n--b--\r\n", "multipart/mixed; boundary=b")
        async with await asking as response:
            assert response.status == status


async def turned_away(some: Broker, message: RegisterAIWorkerRequest) -> str | None:
    """What a worker hears that may not register."""
    try:
        async with worker(some, message) as one:
            return str(await one.call.details())
    except grpc.aio.AioRpcError as error:
        said = error.details()
        return None if said is None else str(said)


async def get(of: Broker, path: str) -> tuple[int, object]:
    async with of.session.get(of.runner + path) as response:
        return response.status, await response.json()


async def test_a_runners_own_routes_speak_of_the_one_model_or_of_the_one_in_the_url(
    tmp_path: Path,
) -> None:
    """At its start an orchestrator asks `<url of aiModels.json>` + each of these
    (go-livepeer ai/worker/container.go)."""
    message = registration(IMAGE)
    model = message.capabilities.constraints.per_capability[27].models["m/sd"]
    model.runner_version = "0.9.1"
    about = {"pipeline": "text-to-image", "model_id": "m/sd"}
    async with broker(tmp_path, IMAGE) as some:
        for base in ("", "/runners/text-to-image/m/sd"):
            assert await get(some, f"{base}/health") == (200, {"status": "OK"})
            assert await get(some, f"{base}/version") == (200, {**about, "version": "0.0.0"})
            told = {**about, "gpu_info": {}}
            assert await get(some, f"{base}/hardware/info") == (200, told)
        async with worker(some, message):
            assert await get(some, "/version") == (200, {**about, "version": "0.9.1"})
        assert (await get(some, "/runners/no-such/m/version"))[0] == 404


async def test_a_worker_whose_runner_is_older_than_the_models_file_asks_for_is_no_capacity(
    tmp_path: Path,
) -> None:
    message = registration(IMAGE)
    model = message.capabilities.constraints.per_capability[27].models["m/sd"]
    model.runner_version = "0.9.1"
    entry = ModelEntry(pipeline=IMAGE[0], model=IMAGE[1], min_runner_version="0.14.0")
    async with broker(tmp_path, entry) as some, worker(some, message):
        (known,) = some.serving.jobs.dispatcher.workers
        assert known.offers[Target(*IMAGE)].version == "0.9.1"
        assert some.serving.jobs.dispatcher.capacity(Target(*IMAGE)) == 0


async def test_of_several_models_a_runners_routes_name_none_and_its_url_each(
    tmp_path: Path,
) -> None:
    async with broker(tmp_path, IMAGE, LLM) as some:
        status, body = await get(some, "/version")
        assert (status, "/runners/PIPELINE/MODEL" in str(body)) == (404, True)
        about = {"pipeline": "llm", "model_id": "m/llm", "version": "0.0.0"}
        assert await get(some, "/runners/llm/m/llm/version") == (200, about)


@pytest.mark.parametrize(
    ("message", "words", "reason"),
    [
        (registration(IMAGE, secret="guessed"), "invalid secret", "secret"),
        (registration(IMAGE, capacity=0), "zero capacity", "capacity"),
    ],
)
async def test_a_worker_that_may_not_register_is_told_in_upstreams_words(
    tmp_path: Path, message: RegisterAIWorkerRequest, words: str, reason: str
) -> None:
    async with broker(tmp_path, IMAGE) as some:
        assert await turned_away(some, message) == words
        assert some.count("registrations_refused_total", reason=reason) == 1


async def test_a_result_with_a_wrong_secret_changes_nothing(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        asking = asyncio.create_task(ask(some, PROMPT))
        attempt, _, _ = await one.job()
        media = "multipart/mixed; boundary=b"
        status, _ = await some.post_result(attempt, result(), media, Credentials="guessed")
        assert status == 401
        assert not asking.done()
        await some.post_result(attempt, result(), media)
        assert (await asking)[0] == 200


async def test_a_worker_that_dies_in_mid_task_is_made_good_by_another(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as first:
        asking = asyncio.create_task(ask(some, PROMPT))
        lost, _, _ = await first.job()
        async with worker(some, registration(IMAGE)) as second:
            first.leave()
            attempt, _, _ = await second.job()
            media = "multipart/mixed; boundary=b"
            await some.post_result(attempt, result(), media)
            late = await some.post_result(lost, result(content=b"late"), media)
            assert late == (200, "nobody waits for this result any more")
            status, body = await asking
    assert status == 200
    assert base64.b64encode(b"late").decode() not in str(body)


async def test_a_worker_that_is_gone_may_post_what_it_had_while_the_task_has_no_answer(
    tmp_path: Path,
) -> None:
    media = "multipart/mixed; boundary=b"
    async with broker(tmp_path, IMAGE) as some:
        async with worker(some, registration(IMAGE)) as one:
            asking = asyncio.create_task(ask(some, PROMPT))
            attempt, _, _ = await one.job()
        await eventually(lambda: not some.serving.jobs.dispatcher.workers)
        async with worker(some, registration(IMAGE)) as again:
            other, _, _ = await again.job()
            assert await some.post_result(attempt, result(), media) == (200, "ok")
            assert (await asking)[0] == 200
            # Who was given it meanwhile has done it in vain, and has its room again.
            late = (200, "nobody waits for this result any more")
            assert await some.post_result(attempt, result(), media) == late
            assert some.serving.jobs.dispatcher.in_use(Target(*IMAGE)) == 1
            assert await some.post_result(other, result(), media) == late
            assert some.serving.jobs.dispatcher.in_use(Target(*IMAGE)) == 0


async def test_no_room_in_time_is_insufficient_capacity_in_a_shape_that_orchestrators_survive(
    tmp_path: Path,
) -> None:
    async with broker(tmp_path, IMAGE, wait_seconds=0.05) as some:
        assert await ask(some, PROMPT) == (500, {"detail": {"msg": FULL}})


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/text-to-image", {"prompt": "x"}, 422, "model_id"),
        ("/text-to-image", {"model_id": "m/sd"}, 422, "prompt"),
        ("/text-to-image", {"model_id": "m/other", "prompt": "x"}, 400, "not offered"),
        ("/text-to-image", [1], 422, "body"),
        ("/llm", {"model": "m/llm", "messages": []}, 422, "messages"),
    ],
)
async def test_bad_requests_name_the_field(
    tmp_path: Path, path: str, body: object, status: int, told: str
) -> None:
    async with broker(tmp_path, IMAGE, LLM) as some:
        found, answer = await ask(some, body, path)
        assert found == status
        assert told in str(answer)


async def test_a_caller_that_goes_cancels_its_task_and_the_capacity_stays_in_use(
    tmp_path: Path,
) -> None:
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        asking = asyncio.create_task(ask(some, PROMPT))
        attempt, _, _ = await one.job()
        asking.cancel()
        ended = {"pipeline": "text-to-image", "model": "m/sd", "ending": "cancelled"}
        await eventually(lambda: some.count("tasks_total", **ended) == 1)
        assert some.serving.jobs.dispatcher.in_use(Target(*IMAGE)) == 1
        await some.post_result(attempt, b"x", "livepeer/ai-worker-error")
        assert some.serving.jobs.dispatcher.in_use(Target(*IMAGE)) == 0


@pytest.mark.parametrize(
    ("body", "media", "why"),
    [
        (result("../../etc/x.png"), "multipart/mixed; boundary=b", "a plain name of its own"),
        (result("/etc/x.png"), "multipart/mixed; boundary=b", "a plain name of its own"),
        (result()[:-20], "multipart/mixed; boundary=b", "cut off"),
        (b"--b\r\n\r\nx", "multipart/mixed", "no boundary"),
        (b"x", "text/html", "Content-Type must be"),
    ],
)
async def test_a_result_that_is_none_is_told_so_and_the_task_tried_elsewhere(
    tmp_path: Path, body: bytes, media: str, why: str
) -> None:
    async with (
        broker(tmp_path, IMAGE) as some,
        worker(some, registration(IMAGE)) as one,
        worker(some, registration(IMAGE)) as two,
    ):
        asking = asyncio.create_task(ask(some, PROMPT))
        waiting = {asyncio.create_task(each.job()) for each in (one, two)}
        (first,), rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        status, said = await some.post_result(first.result()[0], body, media)
        assert status == 400
        assert why in said
        attempt, _, _ = await rest.pop()
        await some.post_result(attempt, result(), "multipart/mixed; boundary=b")
        assert (await asking)[0] == 200


REQUESTS: dict[str, tuple[Pipeline, dict[str, object]]] = {
    "01_100_text-to-image.http": (Pipeline.TEXT_TO_IMAGE, {"prompt": "x"}),
    "02_101_text-to-speech.http": (Pipeline.TEXT_TO_SPEECH, {"text": "x"}),
    "03_102_llm.http": (Pipeline.LLM, {"messages": [{"role": "user", "content": "x"}]}),
    "04_103_llm.http": (Pipeline.LLM, {"messages": [{"role": "user", "content": "x"}]}),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_results_of_a_stock_worker_are_taken_as_it_posted_them(
    tmp_path: Path, name: str
) -> None:
    pipeline, request = REQUESTS[name]
    headers, body = captured(name)
    field = "model" if pipeline is Pipeline.LLM else "model_id"
    offered = (pipeline, "m/sd")
    async with broker(tmp_path, offered) as some, worker(some, registration(offered)) as one:

        async def call() -> tuple[int, bytes]:
            url = f"{some.runner}/{pipeline}"
            async with some.session.post(url, json={**request, field: "m/sd"}) as response:
                return response.status, await response.read()

        asking = asyncio.create_task(call())
        attempt, _, _ = await one.job()
        assert await some.post_result(attempt, body, headers["Content-Type"]) == (200, "ok")
        status, answer = await asking
    assert status == 200
    if headers["Content-Type"] == "text/event-stream":
        assert answer == body
    elif pipeline is not Pipeline.LLM:
        assert b";base64," in answer


@pytest.mark.parametrize(
    "name", ["05_104_image-to-image.http", "07_106_text-to-image.http", "09_108_text-to-image.http"]
)
async def test_errors_of_a_stock_worker_free_its_capacity(tmp_path: Path, name: str) -> None:
    headers, body = captured(name)
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        asking = asyncio.create_task(ask(some, PROMPT))
        attempt, _, _ = await one.job()
        await some.post_result(attempt, body, headers["Content-Type"])
        assert some.serving.jobs.dispatcher.in_use(Target(*IMAGE)) == 0
        asking.cancel()


async def test_a_result_that_is_broken_off_over_http_2_frees_the_capacity(tmp_path: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        asking = asyncio.create_task(ask(some, PROMPT))
        attempt, _, _ = await one.job()
        _, writer = await asyncio.open_connection("127.0.0.1", some.serving.port, ssl=context)
        client = h2.connection.H2Connection()
        client.initiate_connection()
        headers = {
            ":method": "POST",
            ":path": "/aiResults",
            ":scheme": "https",
            ":authority": some.authority,
            "authorization": AUTHORIZATION,
            "credentials": SECRET,
            "taskid": str(attempt),
            "content-type": "multipart/mixed; boundary=b",
        }
        client.send_headers(1, list(headers.items()))
        client.send_data(1, result()[:60])
        writer.write(client.data_to_send())
        await eventually(lambda: some.count("results_total", verdict="wanted") == 1)
        writer.transport.abort()
        await eventually(lambda: some.serving.jobs.dispatcher.in_use(Target(*IMAGE)) == 0)
        status, answer = await asking
    assert (status, answer) == (500, {"detail": {"msg": "the result was broken off"}})


async def test_the_tasks_in_flight_are_a_load_that_a_node_can_have(tmp_path: Path) -> None:
    """`loadUrl.metric` of a pool whose nodes have the broker as their runner; what waits for a
    worker is work of the node, too."""

    async def in_flight(of: Broker) -> float | None:
        async with of.session.get(f"{of.runner}/metrics") as response:
            return named(await response.text(), "mediafleet_broker_tasks_in_flight")

    async def has(count: int) -> bool:
        return await in_flight(some) == count

    async with broker(tmp_path, IMAGE) as some, worker(some, registration(IMAGE)) as one:
        assert await in_flight(some) == 0
        asking = [asyncio.create_task(ask(some, PROMPT)) for _ in range(3)]
        attempt, _, _ = await one.job()
        await eventually(lambda: has(3))
        await some.post_result(attempt, result(), "multipart/mixed; boundary=b")
        await eventually(lambda: has(2))
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await eventually(lambda: has(0))


async def test_a_worker_whose_secret_is_taken_out_gets_nothing_more_and_is_told(
    tmp_path: Path,
) -> None:
    secrets = [SECRET, "other"]
    quick = Times(files_seconds=0.01)
    old, new = registration(IMAGE), registration(IMAGE, secret="other")
    async with (
        broker(tmp_path, IMAGE, secrets=lambda: secrets, times=quick) as some,
        worker(some, old) as one,
    ):
        first = asyncio.create_task(ask(some, PROMPT))
        attempt, _, _ = await one.job()
        secrets.remove(SECRET)
        dispatcher = some.serving.jobs.dispatcher
        await eventually(lambda: dispatcher.capacity(Target(*IMAGE)) == 0)
        # It still may post what it has, with a secret that counts.
        media = "multipart/mixed; boundary=b"
        assert await some.post_result(attempt, result(), media, Credentials="other") == (200, "ok")
        assert (await first)[0] == 200
        assert await one.call.details() == "the secret has changed: register again"
        async with worker(some, new) as two:
            second = asyncio.create_task(ask(some, PROMPT))
            attempt, _, _ = await two.job()
            await some.post_result(attempt, result(), media, Credentials="other")
            assert (await second)[0] == 200


async def test_a_worker_with_a_secret_of_its_own_is_known_by_it_and_answers_alone_for_its_jobs(
    tmp_path: Path,
) -> None:
    named = [("alice", "s-alice"), ("bob", "s-bob")]
    quick = Times(files_seconds=0.01)
    async with (
        broker(tmp_path, IMAGE, named=lambda: list(named), times=quick) as some,
        worker(some, registration(IMAGE, secret="s-alice")) as one,
    ):
        dispatcher = some.serving.jobs.dispatcher
        (known,) = dispatcher.workers
        assert (known.known_as, known.name) == ("alice", None)
        asking = asyncio.create_task(ask(some, PROMPT))
        attempt, _, _ = await one.job()
        for other in ("s-bob", SECRET):
            status, said = await some.post_result(
                attempt, result(), "multipart/mixed; boundary=b", Credentials=other
            )
            assert (status, said) == (401, "this job was given to another worker")
        assert some.count("results_total", verdict="foreign") == 2
        answered = await some.post_result(
            attempt, result(), "multipart/mixed; boundary=b", Credentials="s-alice"
        )
        assert answered == (200, "ok")
        assert (await asking)[0] == 200
        assert (
            some.count(
                "worker_tasks_total", worker="alice", pipeline=IMAGE[0].value, model=IMAGE[1]
            )
            == 1
        )
        # The name is taken over by somebody else: the stream is not theirs.
        named[0] = ("carol", "s-alice")
        await eventually(lambda: not dispatcher.workers)


async def test_a_worker_that_takes_no_job_is_turned_away_and_the_job_given_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its window is closed: what is sent to it would lie with the broker."""
    monkeypatch.setattr(registrations, "_TAKE_SECONDS", 0.05)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    async with broker(tmp_path, IMAGE) as some:
        dispatcher = some.serving.jobs.dispatcher
        reader, writer = await asyncio.open_connection("127.0.0.1", some.serving.port, ssl=context)
        client = h2.connection.H2Connection()
        closed = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}
        client.local_settings = h2.settings.Settings(client=True, initial_values=closed)
        client.initiate_connection()
        message = registration(IMAGE).SerializeToString()
        head = {":method": "POST", ":path": registrations.PATH, ":scheme": "https"}
        client.send_headers(1, [*head.items(), (":authority", some.authority)])
        client.send_data(1, struct.pack(">BI", 0, len(message)) + message)
        writer.write(client.data_to_send())
        await eventually(lambda: len(dispatcher.workers) == 1)
        asking = asyncio.create_task(ask(some, PROMPT))
        told: list[h2.events.TrailersReceived] = []
        async with asyncio.timeout(60):
            while not told:
                events = client.receive_data(await reader.read(65536))
                told = [each for each in events if isinstance(each, h2.events.TrailersReceived)]
        assert dict(told[0].headers)[b"grpc-status"] == b"14"
        await eventually(lambda: not dispatcher.workers)
        async with worker(some, registration(IMAGE)) as one:
            attempt, _, _ = await one.job()
            await some.post_result(attempt, result(), "multipart/mixed; boundary=b")
            assert (await asking)[0] == 200
        writer.close()


@pytest.mark.parametrize(
    ("limit", "most", "path", "fields", "why"),
    [
        ("_MOST_JSON", 20, "/text-to-image", None, "is longer than 20 bytes"),
        ("_MOST_FIELD", 5, "/upscale", 1, "is longer than 5 bytes"),
        ("_MOST_FIELDS", 2, "/upscale", 9, "more than 2 fields"),
        ("_MOST_INPUT", 5, "/upscale", 0, "is longer than 5 bytes"),
    ],
)
async def test_a_request_beyond_a_bound_is_refused_with_it_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    most: int,
    path: str,
    fields: int | None,
    why: str,
) -> None:
    monkeypatch.setattr(requests, limit, most)
    form = aiohttp.FormData()
    for number in range(fields or 0):
        form.add_field(f"field{number}", "a text")
    form.add_field("image", PNG, filename="dog.png")
    how = {"json": PROMPT} if fields is None else {"data": form}
    async with (
        broker(tmp_path, IMAGE, UPSCALE) as some,
        some.session.post(some.runner + path, **how) as response,
    ):
        assert response.status == 422
        assert why in await response.text()
    left = [each.name for each in tmp_path.iterdir()]  # noqa: ASYNC240 - of a test
    assert left == ["tls.pem"]
