"""What `mediafleet discover` makes of answers that others wrote."""

from __future__ import annotations

import pytest
from aiohttp import web

from mediafleet_common.formats.eth import BadKeyError, signed
from mediafleet_common.serving.http import HttpServer
from mediafleet_common.wire.livepeer_pb2 import Capabilities, OrchestratorInfo, OrchestratorRequest
from mediafleet_scheduler.core.advertise.capabilities import Sessions, read, wanted
from mediafleet_scheduler.core.advertise.discovery import Failure, Offer, Why
from mediafleet_scheduler.discover import gateway_call
from mediafleet_scheduler.discover.webhook import BadWebhookError, addresses, parse


def test_what_is_asked_for_and_what_is_told_of_capabilities() -> None:
    text = ("live-video-to-video/noop", "35/other", "llm")
    sent = OrchestratorRequest.FromString(gateway_call.request([wanted(each) for each in text]))
    assert len(sent.address) == 20
    said = Capabilities.FromString(sent.capabilities)
    assert list(said.bitstring) == [1 << 35 | 1 << 33]
    assert sorted(said.constraints.per_capability[35].models) == ["noop", "other"]
    info = OrchestratorInfo(transcoder="t", capabilities=sent.capabilities)
    offer = gateway_call.offer(info.SerializeToString())
    assert isinstance(offer, Offer)
    assert all(wanted(each).met_by(offer.capabilities) for each in text)
    assert offer.price_per_unit is None
    silent = gateway_call.offer(OrchestratorInfo(transcoder="t").SerializeToString())
    assert isinstance(silent, Offer)
    assert silent.capabilities is None


def test_sessions_are_told_where_a_node_tells_them_and_capacity_is_what_is_free() -> None:
    said = Capabilities(bitstring=[1 << 35 | 1 << 33])
    models = said.constraints.per_capability[35].models
    models["noop"].capacity, models["noop"].capacity_in_use = 4, 3
    models["other"].capacity = 1
    models["full"].capacity, models["full"].capacity_in_use = 0, 2
    # Of other pipelines a node does not tell what is in use.
    said.constraints.per_capability[33].models["small"].capacity = 1
    said.constraints.per_capability[33].models["silent"].SetInParent()
    can = read(said.SerializeToString())
    assert can.total() == Sessions(5, 10)
    assert can.total([wanted("35/noop")]) == Sessions(3, 7)
    assert can.total([wanted("35/full")]) == Sessions(2, 2)
    assert can.total([wanted("live-video-to-video")]) == Sessions(5, 10)
    assert can.total([wanted("llm")]) is None
    assert can.full == {(35, "full")}
    models["noop"].capacity_in_use = 0
    # What it can do is the same, so that the advertiser's list is too.
    assert read(said.SerializeToString()) == can


def test_a_request_is_signed_with_the_key_that_is_given() -> None:
    sent = OrchestratorRequest.FromString(gateway_call.request((), "46" * 32))
    assert signed(sent.address, sent.sig)
    with pytest.raises(BadKeyError):
        gateway_call.request((), "not a key")


@pytest.mark.parametrize(
    "info", [b"\xff" * 20, OrchestratorInfo(capabilities=b"\xff").SerializeToString()]
)
def test_garbage_is_unreadable(info: bytes) -> None:
    reply = gateway_call.offer(info)
    assert isinstance(reply, Failure)
    assert reply.why is Why.UNREADABLE


TAKEN: dict[bytes, list[str]] = {
    b'[{"address": "https://a:1", "score": 1}, {"score": 1}, {"address": "https://b:1"}]': [
        "https://a:1",
        "https://b:1",
    ],
    b'[{"Address": "https://a:1", "more": "x"}]': ["https://a:1"],
    b'[{"address": "https://127.0.0.1:1"}]': ["https://127.0.0.1:1"],
    b'[null, {"address": "a_b:1"}, {"address": ""}, {"address": "https://a:1", "score": null}]': [
        "https://a:1"
    ],
    b"[]": [],
    b"null": [],
}


@pytest.mark.parametrize("body", TAKEN)
def test_what_a_gateway_takes_of_a_webhook(body: bytes) -> None:
    assert parse(body, "http://w") == TAKEN[body]


@pytest.mark.parametrize(
    "entry",
    [b'{"address": "https://b:1", "score": "1"}', b'"https://b:1"', b"7", b'{"address": 7}'],
)
def test_one_field_of_a_wrong_type_refuses_the_whole_list(entry: bytes) -> None:
    with pytest.raises(BadWebhookError, match="entry 1"):
        parse(b'[{"address": "https://a:1"}, ' + entry + b"]", "http://w")


async def test_a_webhook_may_redirect_and_answer_any_2xx() -> None:
    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/list?key=1"})

    async def told(request: web.Request) -> web.Response:
        assert request.query["key"] == "1"
        return web.Response(status=203, text='[{"address": "https://a:1"}]')

    async def away(_: web.Request) -> web.Response:
        return web.Response(status=500, text="[]")

    routes = [web.get("/", moved), web.get("/list", told), web.get("/away", away)]
    async with HttpServer("127.0.0.1:0", lambda: None, routes=routes) as server:
        base = f"http://127.0.0.1:{server.port}"
        assert await addresses(f"{base}/") == ["https://a:1"]
        with pytest.raises(BadWebhookError, match="HTTP 500"):
            await addresses(f"{base}/away")


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b"\xff"])
def test_a_webhook_that_tells_no_list_is_an_error(body: bytes) -> None:
    with pytest.raises(BadWebhookError, match="http://w"):
        parse(body, "http://w")


def test_without_a_key_it_has_the_zero_address_as_gateways_off_chain_have() -> None:
    assert OrchestratorRequest.FromString(gateway_call.request(())).address == bytes(20)
