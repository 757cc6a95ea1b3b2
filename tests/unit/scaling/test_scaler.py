"""KEDA's external scaler: what it answers, when its streams speak, and whom it lets in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import grpc.aio
import pytest
import trustme
from prometheus_client import CollectorRegistry
from tests.kit.clock import loop_clock

from mediafleet_common.api.names import Kind
from mediafleet_common.clock import Clock
from mediafleet_common.reports.demand import Demand, FleetDemand
from mediafleet_common.scaling.unknown import unknown
from mediafleet_common.serving.http import HttpServer
from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.tls import self_signed
from mediafleet_common.wire import scaler_pb2 as wire
from mediafleet_scheduler.scaler.certificate import word_of
from mediafleet_scheduler.scaler.metrics import ScalerMetrics
from mediafleet_scheduler.scaler.outlook import Outlook
from mediafleet_scheduler.scaler.patience import Patience
from mediafleet_scheduler.scaler.server import ScalerOptions, demand_route, options, serving
from mediafleet_scheduler.scaler.service import AGAIN_SECONDS, SERVICE, Scaler
from mediafleet_scheduler.scaler.times import DemandTimes

BUSY: Final = FleetDemand(
    kind=Kind.EGRESS_FLEET,
    namespace="media",
    name="rec",
    known=True,
    at=1.0,
    ready=2,
    busy=2,
    work=4,
    used=6.4,
    size=3.2,
    free={"web": 0},
    each={"web": 1},
)
IDLE: Final = BUSY.model_copy(update={"busy": 0, "work": 0, "used": 0.0, "free": {"web": 2}})
UNKNOWN: Final = unknown(Kind.EGRESS_FLEET, "media", "rec", "the ledger is not read yet", 1.0)
EMPTY: Final = IDLE.model_copy(update={"ready": 0, "free": {"web": 0}})
WAITED_FOR: Final = EMPTY.model_copy(update={"queued": {"web": 1}, "queued_cost": 3.2})


class Desk:
    """What a desk knows, as a test wants it."""

    def __init__(self, *fleets: FleetDemand, wait_seconds: float = 0.0) -> None:
        self.fleets: list[FleetDemand] | None = list(fleets)
        self.outlook = Outlook(lambda: self.fleets, DemandTimes(wait_seconds=wait_seconds))
        self.outlook.look()

    def say(self, *fleets: FleetDemand) -> None:
        self.fleets = list(fleets)
        self.outlook.look()


def ref(**metadata: str) -> wire.ScaledObjectRef:
    said = {"fleet": "rec", "scalerAddress": "desk:9090", **metadata}
    return wire.ScaledObjectRef(name="so", namespace="media", metadata=said)


def metrics_of(reference: wire.ScaledObjectRef) -> wire.GetMetricsRequest:
    return wire.GetMetricsRequest(ref=reference, name="mediafleet-utilization")


ANSWERS: Final[dict[str, Any]] = {
    "IsActive": wire.IsActiveResponse,
    "StreamIsActive": wire.IsActiveResponse,
    "GetMetricSpec": wire.GetMetricSpecResponse,
    "GetMetrics": wire.GetMetricsResponse,
    "StreamMetricSpec": wire.GetMetricSpecResponse,
}


class Keda:
    """Calls as KEDA makes them."""

    def __init__(self, channel: grpc.aio.Channel, address: str = "") -> None:
        self._channel = channel
        self.address = address

    async def call(self, rpc: str, request: Any) -> Any:
        """One unary call."""
        return await self._method(self._channel.unary_unary, rpc)(request, timeout=10)

    def stream(self, rpc: str, reference: wire.ScaledObjectRef) -> Any:
        """One stream."""
        return self._method(self._channel.unary_stream, rpc)(reference)

    def _method(self, kind: Any, rpc: str) -> Any:
        return kind(
            f"/{SERVICE}/{rpc}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=ANSWERS[rpc].FromString,
        )


@asynccontextmanager
async def served(
    desk: Desk,
    chosen: ScalerOptions | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[Keda]:
    chosen = chosen or ScalerOptions("127.0.0.1:0")
    async with (
        serving(desk.outlook, chosen, CollectorRegistry()) as port,
        _channel(f"localhost:{port}", credentials) as channel,
    ):
        yield Keda(channel, f"localhost:{port}")


def _channel(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    if credentials is None:
        return grpc.aio.insecure_channel(address)
    return grpc.aio.secure_channel(address, credentials)


async def refused(rpc: str, request: Any, desk: Desk) -> tuple[str, str]:
    async with served(desk) as keda:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await keda.call(rpc, request)
    return caught.value.code().name, caught.value.details() or ""


async def test_the_value_is_the_pods_wanted_times_the_target() -> None:
    async with served(Desk(BUSY)) as keda:
        told = await keda.call("GetMetrics", metrics_of(ref(target="0.5")))
        spec = await keda.call("GetMetricSpec", ref(target="0.5"))
    assert [(each.name, each.value_float) for each in told.values] == [
        ("mediafleet-utilization", 4 * 0.5)
    ]
    assert [(each.name, each.target_float) for each in spec.specs] == [
        ("mediafleet-utilization", 0.5)
    ]


@pytest.mark.parametrize(("demand", "is_active"), [(BUSY, True), (IDLE, False), (WAITED_FOR, True)])
async def test_active_and_the_value_agree(demand: FleetDemand, is_active: bool) -> None:
    async with served(Desk(demand)) as keda:
        assert (await keda.call("IsActive", ref())).result is is_active
        value = (await keda.call("GetMetrics", metrics_of(ref()))).values[0].value_float
    assert (value > 0) is is_active


@pytest.mark.parametrize("rpc", ["IsActive", "GetMetrics"])
@pytest.mark.parametrize(
    ("fleets", "code", "says"),
    [
        ((UNKNOWN,), "UNAVAILABLE", "the ledger is not read yet"),
        (None, "UNAVAILABLE", "the fleets are not known yet"),
        ((BUSY.model_copy(update={"name": "x"}),), "NOT_FOUND", "media/rec is not served here"),
    ],
)
async def test_what_is_not_known_is_an_error_and_never_zero_or_false(
    rpc: str, fleets: tuple[FleetDemand, ...] | None, code: str, says: str
) -> None:
    desk = Desk()
    desk.fleets = None if fleets is None else list(fleets)
    desk.outlook.look()
    request = metrics_of(ref()) if rpc == "GetMetrics" else ref()
    got, text = await refused(rpc, request, desk)
    assert (got, says in text) == (code, True)


class RefusedError(Exception):
    """A call was ended with an error."""


class Context:
    """Of a call that is made without a connection."""

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise RefusedError(code.name)


def polled(desk: Desk) -> asyncio.Task[Any]:
    scaler = Scaler(desk.outlook, ScalerMetrics(CollectorRegistry()), loop_clock())
    return asyncio.create_task(scaler.get_metrics(metrics_of(ref()), Context()))


@pytest.mark.looptime
@pytest.mark.parametrize("before", [None, [], [UNKNOWN]])
async def test_what_is_not_known_yet_is_waited_for_since_an_error_costs_keda_its_push_stream(
    before: list[FleetDemand] | None,
) -> None:
    desk = Desk(wait_seconds=3.0)
    desk.fleets = before
    desk.outlook.look()
    answer = polled(desk)
    await asyncio.sleep(2.9)
    assert not answer.done()
    desk.say(BUSY)
    await asyncio.sleep(0.01)
    assert answer.result().values[0].value_float > 0


@pytest.mark.looptime
async def test_what_stays_unknown_is_waited_for_once_and_again_after_it_was_known() -> None:
    desk = Desk(UNKNOWN, wait_seconds=3.0)
    scaler = Scaler(desk.outlook, ScalerMetrics(CollectorRegistry()), loop_clock())
    took = []
    for known in (False, False, True, False):
        if known:
            desk.say(BUSY)
            await scaler.is_active(ref(), Context())
            desk.say(UNKNOWN)
        began = asyncio.get_running_loop().time()
        with pytest.raises(RefusedError, match="UNAVAILABLE"):
            await scaler.is_active(ref(), Context())
        took.append(round(asyncio.get_running_loop().time() - began, 3))
    assert took == [3.0, 0.0, 3.0, 0.0]


@pytest.mark.looptime
async def test_a_desk_that_stops_lets_nobody_wait() -> None:
    desk = Desk(UNKNOWN, wait_seconds=3.0)
    answer = polled(desk)
    await asyncio.sleep(1)
    desk.outlook.close()
    await asyncio.sleep(0.01)
    with pytest.raises(RefusedError):
        answer.result()


def test_no_more_than_so_many_fleets_are_waited_for() -> None:
    patience = Patience(3.0)
    left = [patience.left(("media", f"fleet-{number}"), 1.0) for number in range(4097)]
    assert left == [3.0] * 4096 + [0.0]
    assert patience.left(("media", "fleet-0"), 3.0) == 1.0
    patience.known(("media", "fleet-0"))
    assert patience.left(("media", "fleet-4096"), 5.0) == 3.0


async def test_once_nobody_looks_any_more_nothing_is_known() -> None:
    desk = Desk(BUSY)
    looking = asyncio.create_task(desk.outlook.run())
    await asyncio.sleep(0)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert not desk.outlook.known


@pytest.mark.parametrize("rpc", ANSWERS)
async def test_a_wrong_key_is_refused_by_name_whatever_is_called(rpc: str) -> None:
    wrong = ref(threshold="5")
    async with served(Desk(BUSY)) as keda:
        if rpc.startswith("Stream"):
            answer = keda.stream(rpc, wrong).read()
        else:
            answer = keda.call(rpc, metrics_of(wrong) if rpc == "GetMetrics" else wrong)
        with pytest.raises(grpc.aio.AioRpcError, match="threshold is no key") as caught:
            await answer
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_target_is_told_even_while_demand_is_unknown() -> None:
    async with served(Desk(UNKNOWN)) as keda:
        assert (await keda.call("GetMetricSpec", ref())).specs[0].target_float == 0.7
        assert (await keda.stream("StreamMetricSpec", ref()).read()).specs[0].target_float == 0.7


async def test_a_stream_speaks_at_once_and_at_each_change() -> None:
    desk = Desk(IDLE)
    async with served(desk) as keda:
        stream = keda.stream("StreamIsActive", ref())
        assert (await stream.read()).result is False
        desk.say(BUSY)
        assert (await stream.read()).result is True
        desk.say(BUSY.model_copy(update={"at": 2.0, "work": 5}))
        desk.say(IDLE)
        assert (await stream.read()).result is False


async def test_streams_end_without_an_error_when_the_desk_stops() -> None:
    desk = Desk(IDLE)
    async with serving(desk.outlook, ScalerOptions("127.0.0.1:0"), CollectorRegistry()) as port:
        channel = _channel(f"localhost:{port}", None)
        streams = [Keda(channel).stream(rpc, ref()) for rpc in ANSWERS if rpc.startswith("Stream")]
        for stream in streams:
            await stream.read()
    assert [await stream.read() for stream in streams] == [grpc.aio.EOF] * 2
    await channel.close()


Said = Callable[[], list[tuple[float, bool]]]


@asynccontextmanager
async def listened(desk: Desk) -> AsyncIterator[Said]:
    """What the stream says and when, on the loop's clock."""
    said: list[tuple[float, bool]] = []
    began = asyncio.get_running_loop().time()

    async def listen() -> None:
        scaler = Scaler(desk.outlook, ScalerMetrics(CollectorRegistry()), loop_clock())
        async for answer in scaler.stream_is_active(ref(), None):
            at = asyncio.get_running_loop().time() - began
            said.append((round(at, 3), answer.result))

    task = asyncio.create_task(listen())
    yield lambda: list(said)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.looptime
async def test_while_no_pod_is_ready_true_is_said_again_every_second() -> None:
    desk = Desk(WAITED_FOR)
    async with listened(desk) as said:
        await asyncio.sleep(2.5)
        desk.say(BUSY)
        await asyncio.sleep(10)
        assert said() == [(0.0, True), (AGAIN_SECONDS, True), (2 * AGAIN_SECONDS, True)]


@pytest.mark.looptime
async def test_while_nothing_is_known_the_stream_says_nothing_and_speaks_when_it_is() -> None:
    desk = Desk(UNKNOWN)
    async with listened(desk) as said:
        await asyncio.sleep(5)
        assert said() == []
        desk.say(WAITED_FOR)
        await asyncio.sleep(0.5)
        desk.say(UNKNOWN)
        await asyncio.sleep(5)
        desk.say(EMPTY)
        await asyncio.sleep(5)
        assert said() == [(5.0, True), (10.5, False)]


@pytest.mark.looptime
async def test_a_change_is_told_within_250_ms() -> None:
    desk = Desk(EMPTY)
    looking = asyncio.create_task(desk.outlook.run())
    async with listened(desk) as said:
        await asyncio.sleep(3.05)
        desk.fleets = [WAITED_FOR]
        await asyncio.sleep(0.25)
        assert [each for _, each in said()] == [False, True]
    looking.cancel()


@pytest.mark.looptime
async def test_the_demand_is_read_as_often_as_the_settings_say() -> None:
    readings: list[None] = []

    def read() -> list[FleetDemand]:
        readings.append(None)
        return [BUSY]

    looking = asyncio.create_task(Outlook(read, DemandTimes(look_seconds=2.0)).run())
    await asyncio.sleep(9.0)
    looking.cancel()
    assert len(readings) == 5


async def test_a_desk_that_nobody_asks_counts_no_demand_and_tells_at_once_when_asked() -> None:
    fleets, readings = [IDLE], list[None]()

    def read() -> list[FleetDemand]:
        readings.append(None)
        return fleets

    outlook = Outlook(read, DemandTimes(look_seconds=0.001), rest_after_seconds=0.0)
    looking = asyncio.create_task(outlook.run())
    await asyncio.sleep(0.05)
    assert len(readings) == 1, "it looks once, then nobody asks"
    fleets = [BUSY]
    assert outlook.demand().fleets == [BUSY], "whoever asks hears what is so now"
    told = asyncio.create_task(outlook.news((BUSY.namespace, BUSY.name)))
    await asyncio.sleep(0)
    fleets = [WAITED_FOR]
    async with asyncio.timeout(10):
        await told
    looking.cancel()


async def test_demand_is_told_as_json_by_the_same_snapshot() -> None:
    desk = Desk(IDLE.model_copy(update={"name": "z"}), BUSY)
    async with HttpServer(
        "127.0.0.1:0", lambda: None, reports=[demand_route(desk.outlook)]
    ) as server:
        url = f"http://127.0.0.1:{server.port}/demand"
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as answer:
                told = Demand.model_validate_json(await answer.text())
            assert [fleet.name for fleet in told.fleets] == ["rec", "z"]
            assert told.fleets[0] == BUSY
            desk.fleets = None
            desk.outlook.look()
            async with session.get(url) as answer:
                assert answer.status == 503


class Certificates:
    """A certificate authority, and files of what it signs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.client = self.ca.issue_cert("keda")
        self.renew()

    def renew(self) -> None:
        server = self.ca.issue_cert("localhost")
        (self.folder / "tls.crt").write_bytes(server.cert_chain_pems[0].bytes())
        (self.folder / "tls.key").write_bytes(server.private_key_pem.bytes())
        (self.folder / "ca.crt").write_bytes(self.ca.cert_pem.bytes())

    @property
    def options(self) -> ScalerOptions:
        folder = self.folder
        return ScalerOptions(
            "127.0.0.1:0", folder / "tls.crt", folder / "tls.key", folder / "ca.crt"
        )

    def of(self, client: trustme.LeafCert | None) -> grpc.ChannelCredentials:
        root = self.ca.cert_pem.bytes()
        if client is None:
            return grpc.ssl_channel_credentials(root)
        key, chain = client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
        return grpc.ssl_channel_credentials(root, key, chain)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def asked(certificates: Certificates, credentials: grpc.ChannelCredentials | None) -> str:
    """What comes of a call: an answer, or the gRPC status."""
    async with served(Desk(BUSY), certificates.options, credentials) as keda:
        try:
            return str((await keda.call("IsActive", ref())).result)
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)


async def test_keda_with_its_certificate_is_answered(certificates: Certificates) -> None:
    assert await asked(certificates, certificates.of(certificates.client)) == "True"


@pytest.mark.parametrize("who", ["plaintext", "no certificate", "a stranger's certificate"])
async def test_others_are_refused(who: str, certificates: Certificates) -> None:
    stranger = trustme.CA().issue_cert("keda")
    credentials = {
        "plaintext": None,
        "no certificate": certificates.of(None),
        "a stranger's certificate": certificates.of(stranger),
    }[who]
    assert await asked(certificates, credentials) == "UNAVAILABLE"


async def test_replaced_certificates_count_for_the_next_connection(
    certificates: Certificates,
) -> None:
    async with served(
        Desk(BUSY), certificates.options, certificates.of(certificates.client)
    ) as old:
        assert (await old.call("IsActive", ref())).result
        renewed = Certificates(certificates.folder)
        async with _channel(old.address, renewed.of(renewed.client)) as channel:
            assert (await Keda(channel).call("IsActive", ref())).result
        async with _channel(old.address, certificates.of(certificates.client)) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await Keda(channel).call("IsActive", ref())


async def test_demand_says_which_certificate_is_shown_and_notices_a_new_one(
    certificates: Certificates,
) -> None:
    desk = Desk(BUSY)
    route = demand_route(desk.outlook, certificates.options)
    async with HttpServer("127.0.0.1:0", lambda: None, reports=[route]) as server:
        url = f"http://127.0.0.1:{server.port}/demand"
        async with aiohttp.ClientSession() as session:

            async def told() -> str | None:
                async with session.get(url) as answer:
                    return Demand.model_validate_json(await answer.text()).certificate

            first = await told()
            assert first is not None
            assert await told() == first
            certificates.renew()
            renewed = await told()
            assert renewed not in (None, first)
            (certificates.folder / "tls.crt").write_text("no certificate")
            assert await told() == renewed, "the server goes on with it, too"


def test_a_newer_certificate_has_a_greater_word() -> None:
    words = [
        word_of(self_signed(["desk"], clock=Clock(unix=partial(float, at)))[1])
        for at in (1_800_000_000.0, 1_800_000_001.0, 1_900_000_000.0)
    ]
    assert words == sorted(set(words))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"listen": None, "plaintext": True}, "need --scaler"),
        ({"listen": None, "key": Path("k")}, "need --scaler"),
        ({"listen": "h:1"}, "or --scaler-plaintext"),
        ({"listen": "h:1", "key": Path("k")}, "all three"),
        ({"listen": "h:1", "key": Path("k"), "plaintext": True}, "all three"),
    ],
)
def test_options_that_do_not_go_together_are_refused(said: dict[str, Any], complaint: str) -> None:
    nothing = {"listen": None, "certificate": None, "key": None, "client_ca": None}
    with pytest.raises(CannotStartError, match=complaint):
        options(**{**nothing, "plaintext": False, **said})


def test_a_ca_that_is_no_certificate_is_told_at_the_start(certificates: Certificates) -> None:
    (certificates.folder / "ca.crt").write_text("nothing")
    with pytest.raises(CannotStartError, match="CA of the clients is not PEM"):
        certificates.options.credentials()
