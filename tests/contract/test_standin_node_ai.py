"""The stand-in node and gateway do with AI jobs what go-livepeer does.

The captures, in node_metrics/, hold the lines of the monitor of 0.9.1 (monitor/census.go).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Final

import aiohttp
import grpc
import grpc.aio
import pytest

from mediafleet_common.agent import live_runners
from mediafleet_common.agent.witness import AgentSettings, Witness
from mediafleet_common.formats.node_url import parse_node_url
from mediafleet_common.probes.load import Load, Source, parse
from mediafleet_common.probes.ping import GET_ORCHESTRATOR, NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo, OrchestratorRequest
from mediafleet_scheduler.core.advertise.capabilities import Capabilities, Sessions, read, wanted
from mediafleet_testbed.standins.gateway import Gateway
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_capabilities import asking
from mediafleet_testbed.standins.node_flags import NodeFlags, parse_flags

_CAPTURES: Final = Path(__file__).parent / "node_metrics"
_JOB: Final = ("text-to-image", "m/sd")
_LIVE: Final = ("live-video-to-video", "noop")
_LISTEN: Final = ("-httpAddr=http://127.0.0.1:0", "-cliAddr=127.0.0.1:0", "-monitor")


def flags(*more: str) -> NodeFlags:
    return parse_flags(["-serviceAddr=http://127.0.0.1:0", *_LISTEN, *more])


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "aiModels.json"


def ai(models: Path, *entries: dict[str, object]) -> NodeFlags:
    models.write_text(json.dumps(entries))
    return flags("-aiWorker", f"-aiModels={models}")


def entry(pipeline: str, model: str, **more: object) -> dict[str, object]:
    return {"pipeline": pipeline, "model_id": model, **more}


async def can(node: StandInNode) -> Capabilities:
    async with NodeClient(parse_node_url(node.url)) as caller:
        info = OrchestratorInfo.FromString(await caller.orchestrator_info(5) or b"")
    return read(info.capabilities)


def captured(state: str) -> str:
    return (_CAPTURES / f"{state}.prom").read_text()


def names(text: str) -> set[str]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {re.split("[{ ]", line)[0] for line in lines}


@pytest.mark.parametrize(
    ("state", "source", "load"),
    [
        ("transcoding-idle", Source.TRANSCODE, Load(jobs=0, capacity=2)),
        # It works, and its sessions are 0: what AI jobs there are is unknown.
        ("external-runner-busy", Source.TRANSCODE, Load(capacity=10, uncounted=True)),
        ("docker-ai-busy", Source.TRANSCODE, Load(capacity=10, uncounted=True)),
        ("external-runner-busy", Source.DOCKER_AI, Load()),
        ("docker-ai-busy", Source.DOCKER_AI, Load(jobs=1, capacity=1)),
        ("docker-ai-idle", Source.DOCKER_AI, Load(jobs=0, capacity=1)),
    ],
)
def test_what_each_text_of_the_real_program_means(state: str, source: Source, load: Load) -> None:
    assert parse(captured(state), source) == load


@pytest.mark.parametrize(
    ("state", "url", "jobs", "done"),
    [
        ("docker-ai-busy", "", 1, 0),
        ("docker-ai-idle", "", 0, 1),
        ("external-runner-busy", "http://127.0.0.1:1", 1, 2),
    ],
)
async def test_ai_jobs_show_in_the_metrics_as_in_the_captures(
    models: Path, state: str, url: str, jobs: int, done: int
) -> None:
    given = ai(models, entry(*_JOB, url=url))
    async with StandInNode(given) as node, aiohttp.ClientSession() as session:
        node.sessions.ai[_JOB[1]], node.sessions.requested[_JOB[1]] = jobs, done
        async with session.get(f"http://127.0.0.1:{node.cli_port}/metrics") as response:
            text = await response.text()
    for source in (Source.TRANSCODE, Source.DOCKER_AI):
        assert parse(text, source) == parse(captured(state), source)
    assert names(text) <= names(captured(state))


async def test_a_software_transcoder_claims_seven_ai_pipelines_and_names_no_model() -> None:
    """cmd/livepeer/starter/starter.go; seen on 0.9.1."""
    async with StandInNode(flags("-transcoder")) as node:
        told = await can(node)
    assert {*range(27, 33), 34, 36} <= told.numbers
    assert told.models == {}
    assert 33 not in told.numbers


async def test_discovery_takes_it_for_an_ai_job_and_selection_drops_it(models: Path) -> None:
    """core/capabilities.go CompatibleWith; server/ai_session.go Refresh."""
    async with (
        StandInNode(flags("-transcoder")) as software,
        StandInNode(ai(models, entry(*_JOB))) as node,
    ):
        gateway = Gateway([software.url, node.url], job=_JOB)
        found = await gateway.discover()
        assert [each.url for each in found] == [node.url]
        alone = Gateway([software.url], job=_JOB)
        assert await alone.discover() == []
        assert await Gateway([node.url], job=("text-to-image", "other")).discover() == []


async def test_of_a_live_model_it_tells_what_is_free_and_is_capped_when_nothing_is(
    models: Path,
) -> None:
    """server/rpc.go setLiveAICapacity, checkLiveVideoToVideoCapacity: of batch AI nobody asks."""
    given = ai(models, entry(*_LIVE, capacity=2), entry(*_JOB))
    async with StandInNode(given) as node:
        node.sessions.ai[_LIVE[1]] = 1
        assert (await can(node)).total([wanted("35/noop")]) == Sessions(1, 2)
        node.sessions.ai.update({_LIVE[1]: 1, _JOB[1]: 9})
        assert (await can(node)).full == {(35, "noop")}
        assert await Gateway([node.url], job=_LIVE).discover() == []
        assert len(await Gateway([node.url], job=_JOB).discover()) == 1
        request = OrchestratorRequest(capabilities=asking(*_LIVE).SerializeToString())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="OrchestratorCapped"):
                await channel.unary_unary(GET_ORCHESTRATOR)(request.SerializeToString())


async def test_a_node_whose_runner_is_away_ends_with_0(models: Path) -> None:
    """Seen on 0.9.1, after two minutes."""
    ai(models, entry(*_JOB, url="http://127.0.0.1:1"))
    given = ["-serviceAddr=http://127.0.0.1:0", *_LISTEN, "-aiWorker", f"-aiModels={models}"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mediafleet_testbed.standins.node", *given),
        "-standinRunnerSeconds=0.2",
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, output) == (0, b"")


@pytest.mark.parametrize("given", ["text-to-image:m", "text-to-image"])
def test_models_that_go_livepeer_refuses_are_refused(given: str) -> None:
    """core/ai.go ParseAIModelConfigs."""
    with pytest.raises(SystemExit):
        flags("-aiWorker", f"-aiModels={given}")
    assert flags("-aiWorker", "-aiModels=llm:m:true,llm:n:false").models[0].warm


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_live_runners_are_told_on_the_port_of_grpc(tmp_path: Path, scheme: str) -> None:
    """ai/runner/live_runner.go, server/ai_http.go: what the agent reads with load live-runners."""
    config = tmp_path / "runners.json"
    runners = [
        {"app": "noop", "runner_url": "http://127.0.0.1:1", "capacity": 3},
        {"app": "other", "runner_url": "http://127.0.0.1:2", "capacity": 2},
    ]
    config.write_text(json.dumps({"runners": runners}))
    listen = f"-httpAddr={scheme}://127.0.0.1:0"
    async with StandInNode(flags(f"-liveRunnerConfig={config}", listen)) as node:
        node.sessions.ai["noop"] = 2
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{node.url}/discovery", ssl=False) as response:
                body = await response.read()
            async with session.get(f"{node.url}/else", ssl=False) as response:
                assert response.status == 404
        assert live_runners.parse(body) == live_runners.LiveRunners(2, 5)
        assert json.loads(body)[0]["address"] == node.url
        gateway = Gateway([node.url])
        taken = await gateway.start()
        assert list(node.sessions.active) == [taken.id]
        await taken.end()
        await gateway.connections.close()


async def test_the_agent_reads_a_nodes_live_runners(tmp_path: Path) -> None:
    config = tmp_path / "runners.json"
    entry_ = {"app": "noop", "runner_url": "http://127.0.0.1:1", "capacity": 3}
    config.write_text(json.dumps({"runners": [entry_]}))
    listen = "-httpAddr=https://127.0.0.1:0"
    async with (
        StandInNode(flags(f"-liveRunnerConfig={config}", listen)) as node,
        aiohttp.ClientSession() as session,
    ):
        node.sessions.ai["noop"] = 1
        settings = AgentSettings(source=Source.LIVE_RUNNERS, node_port=node.port)
        sight = await Witness(settings, session).look()
    assert sight.live == live_runners.LiveRunners(1, 3)
