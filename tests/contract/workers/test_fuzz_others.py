"""Whatever an orchestrator answers, or Redis holds: the broker stays and goes on.

`MEDIAFLEET_FUZZ` says how many examples there are; few by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import fakeredis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kit.egress.scene import eventually
from tests.kit.workers.scene import Broker, Told, broker, registration, worker

from mediafleet_scheduler.broker.models import Byoc, LiveRunner, ModelEntry
from mediafleet_scheduler.broker.orchestrators.entries import OrchestratorEntry
from mediafleet_scheduler.broker.orchestrators.keeping import Options, OrchestratorTimes
from mediafleet_scheduler.broker.serve import Times
from mediafleet_scheduler.broker.shared.tasks import SharedTimes
from mediafleet_scheduler.core.workers.pipelines import Pipeline

EXAMPLES: Final = int(os.environ.get("MEDIAFLEET_FUZZ", "40"))
MODEL: Final = (Pipeline.TEXT_TO_IMAGE, "m/sd")
ORCH_SECRET: Final = "0rch-secret"
TOKEN: Final = "runner-t0ken"
GOOD: Final = b'{"runner_id":"r","heartbeat_secret":"h","heartbeat_interval":"1ms"}'
PREFIX: Final = "mediafleet:{broker}:"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
jsons = st.one_of(
    values.map(json.dumps),
    st.sampled_from(["[" * 50_000, '{"a":' * 50_000, '"\\ud800"', "NaN", "", "{"]),
)


def http(status: int, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        % (
            status,
            len(body),
        )
        + body
    )


heartbeats = st.fixed_dictionaries(
    {},
    optional={
        "runner_id": values | st.sampled_from(["../../x", "\ud800", "a\r\nb"]),
        "heartbeat_secret": values | st.sampled_from(["\ud800", "a\r\nb"]),
        "heartbeat_interval": values | st.sampled_from(["0s", "1ns", "-5s"]),
    },
).map(json.dumps)
echoes = st.sampled_from([f"who is {ORCH_SECRET}", f"no {TOKEN}"])
answers = st.one_of(
    st.builds(
        http,
        st.sampled_from([200, 204, 301, 400, 401, 404, 500]),
        st.one_of(jsons, heartbeats, echoes).map(str.encode) | st.binary(max_size=200),
    ),
    st.binary(max_size=100),
)


@dataclass(slots=True)
class Orchestrator:
    """Answers each call with what it is told to, as bytes."""

    answer: bytes = field(default_factory=lambda: http(200, GOOD))
    calls: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].split(b"\r\n")[0].strip()
            await reader.readexactly(int(length or 0))
            writer.write(self.answer)
            await writer.drain()
        self.calls += 1
        writer.close()

    async def called(self, times: int) -> None:
        """So many calls more were answered."""
        wanted = self.calls + times
        await eventually(lambda: self.calls >= wanted)


@contextlib.asynccontextmanager
async def beside(tmp_path: Path) -> AsyncIterator[Orchestrator]:
    """An orchestrator, and a broker that is registered there."""
    orchestrator = Orchestrator()
    server = await asyncio.start_server(orchestrator.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    (tmp_path / "orch-secret").write_text(f"{ORCH_SECRET}\n")
    entry = OrchestratorEntry(url=url, secret_file=Path("orch-secret"))
    model = ModelEntry(
        pipeline=MODEL[0], model=MODEL[1], byoc=Byoc(), live_runner=LiveRunner(price=1)
    )
    times = OrchestratorTimes(0.001, 0.001, 0.001, 0.001, 0.002)
    more: dict[str, Any] = {
        "orchestrators": Options(Told((entry,)), tmp_path, None),
        "times": Times(orchestrators=times),
        "token": lambda: TOKEN,
    }
    async with (
        server,
        broker(tmp_path, model, **more) as some,
        worker(some, registration(MODEL)),
    ):
        await orchestrator.called(3)
        yield orchestrator


def test_an_orchestrator_that_answers_anything_is_told_again_and_no_log_has_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with asyncio.Runner() as runner:
        entering = beside(tmp_path)
        orchestrator = runner.run(entering.__aenter__())

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(answers)
        def fuzz(answer: bytes) -> None:
            orchestrator.answer = answer
            runner.run(orchestrator.called(3))

        for status in (200, 400):
            for body in ("[" * 50_000, '{"runner_id":"\\ud800","heartbeat_secret":"x"}'):
                orchestrator.answer = http(status, body.encode())
                runner.run(orchestrator.called(6))
        fuzz()
        orchestrator.answer = http(404, b"")
        runner.run(orchestrator.called(6))
        orchestrator.answer = http(200, GOOD)
        runner.run(orchestrator.called(6))
        runner.run(entering.__aexit__(None, None, None))
    assert [each.getMessage() for each in caplog.records if each.exc_info] == []
    assert ORCH_SECRET not in caplog.text
    assert TOKEN not in caplog.text


RECORD: Final = {"target": [*MODEL], "deadline": 1.0}
records = st.one_of(
    st.none(),
    jsons,
    st.fixed_dictionaries(
        {"target": st.just([*MODEL]), "deadline": values},
        optional=dict.fromkeys(("session", "request", "file", "in_folder", "x"), values),
    ).map(json.dumps),
)
held_answers = st.none() | jsons | values.map(lambda v: json.dumps({"ending": "done", "result": v}))
peers = jsons | st.fixed_dictionaries(
    {"tag": values, "address": values, "fingerprint": values}
).map(json.dumps)
ids = st.sampled_from(["0" * 32, "f" * 32, "../../x", "x"])


async def look(some: Broker, redis: Any, name: str, record: str | None, answer: str | None) -> None:
    """A task of a broker that is gone, as it stands after a beat."""
    fields = {"owner": "gone", "version": 1, "record": record, "answer": answer}
    held = {field: text for field, text in fields.items() if text is not None}
    await redis.delete(f"{PREFIX}task:{name}")
    await redis.hset(f"{PREFIX}task:{name}", mapping=held)
    await redis.sadd(f"{PREFIX}open:gone", name)
    await redis.sadd(f"{PREFIX}brokers", "gone")

    async def taken() -> bool:
        return not await redis.sismember(f"{PREFIX}open:gone", name)

    await eventually(taken)
    url = f"{some.runner}/v1/tasks/{name.replace('/', '%2F')}"
    for path in (url, f"{url}/result"):
        async with some.session.get(path) as response:
            assert response.status in {200, 202, 404, 409, 410, 502, 504}, await response.text()
    async with some.session.delete(url) as response:
        assert response.status in {204, 404}


async def strange(redis: Any, peer: str) -> None:
    """A broker that is alive, and says how it is reached."""
    await redis.sadd(f"{PREFIX}brokers", "strange")
    await redis.set(f"{PREFIX}alive:strange", peer)


def test_a_broker_goes_on_whatever_redis_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "bodies").mkdir()
    redis = fakeredis.FakeAsyncRedis(decode_responses=True)
    entry = ModelEntry(pipeline=MODEL[0], model=MODEL[1])
    with asyncio.Runner() as runner:
        more: dict[str, Any] = {
            "redis": redis,
            "bodies": tmp_path / "bodies",
            "peer": "127.0.0.1:1",
            "times": Times(shared=SharedTimes(beat_seconds=0.005)),
        }
        entering = broker(tmp_path, entry, **more)
        some = runner.run(entering.__aenter__())

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(ids, records, held_answers, peers)
        def fuzz(name: str, record: str | None, answer: str | None, peer: str) -> None:
            runner.run(strange(redis, peer))
            runner.run(look(some, redis, name, record, answer))

        fuzz()
        runner.run(look(some, redis, "0" * 32, json.dumps({**RECORD, "deadline": "x"}), None))
        runner.run(look(some, redis, "../../x", json.dumps(RECORD), None))
        runner.run(entering.__aexit__(None, None, None))
    assert [each.getMessage() for each in caplog.records if each.exc_info] == []
    assert list((tmp_path / "bodies").iterdir()) == []
    assert {each.name for each in tmp_path.iterdir()} == {"bodies", "tls.pem"}
