"""Who may ask, and how many do."""

from __future__ import annotations

import tracemalloc

from prometheus_client import CollectorRegistry

from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.clock import Clock
from mediafleet_common.formats.eth import private_key, sign
from mediafleet_common.wire.livepeer_pb2 import OrchestratorRequest
from mediafleet_scheduler.advertise import gateways as module
from mediafleet_scheduler.advertise.gateways import GatewayRequest, Gateways
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.core.advertise.views import PoolView

ADDRESS, SIGNATURE = sign(private_key("46" * 32))
OTHER, OTHERS_SIGNATURE = sign(private_key("47" * 32))


class Scene:
    def __init__(self, *allowed: bytes) -> None:
        self.now = 0.0
        self.registry = CollectorRegistry()
        self.gateways = Gateways(AdvertiseMetrics(self.registry), Clock(monotonic=lambda: self.now))
        listed = [f"0x{address.hex().upper()}" for address in allowed]
        self.gateways.take(PoolView("", "pool", Advertise(gateways=listed), ()))

    def ask(self, address: bytes, signature: bytes = b"") -> bytes | None:
        request = OrchestratorRequest(address=address, sig=signature)
        asking = self.gateways.admit(request.SerializeToString())
        return None if asking is None else asking.address

    @property
    def counted(self) -> float | None:
        return self.registry.get_sample_value("mediafleet_gateways")


def test_without_a_list_everybody_may_ask_signed_or_not() -> None:
    scene = Scene()
    assert scene.ask(ADDRESS) == ADDRESS
    assert scene.ask(b"short") == b""
    assert scene.ask(bytes(20)) == b""
    assert scene.gateways.admit(b"") == GatewayRequest(b"")
    assert scene.gateways.admit(b"\xff garbage") == GatewayRequest(b"")


def test_with_a_list_only_those_on_it_with_a_signature_of_their_own() -> None:
    scene = Scene(ADDRESS)
    assert scene.ask(ADDRESS, SIGNATURE) == ADDRESS
    assert scene.ask(ADDRESS) is None
    assert scene.ask(ADDRESS, OTHERS_SIGNATURE) is None
    assert scene.ask(OTHER, OTHERS_SIGNATURE) is None
    assert scene.gateways.admit(b"\xff garbage") is None
    assert scene.counted == 1


def test_gateways_are_counted_once_and_for_ten_minutes() -> None:
    scene = Scene()
    for _ in range(3):
        scene.ask(ADDRESS)
    scene.now = 400.0
    scene.ask(OTHER)
    assert scene.counted == 2
    scene.now = 601.0
    assert scene.counted == 1


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    scene = Scene()
    for number in range(module._REMEMBERED + 5):
        scene.ask(number.to_bytes(20, "big"))
    assert scene.counted == module._REMEMBERED


def test_nothing_is_remembered_of_signatures_that_are_none() -> None:
    scene = Scene(ADDRESS)
    tracemalloc.start()
    try:
        for number in range(100):
            forged = number.to_bytes(50_000, "big")
            assert scene.ask(ADDRESS, forged) is None
            request = OrchestratorRequest(address=forged, sig=forged)
            assert scene.gateways.verified(request.SerializeToString()) is None
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_gateway_is_verified_by_its_signature_and_not_by_what_it_says() -> None:
    gateways = Scene().gateways

    def verified(address: bytes, signature: bytes) -> str | None:
        request = OrchestratorRequest(address=address, sig=signature)
        return gateways.verified(request.SerializeToString())

    assert verified(ADDRESS, SIGNATURE) == f"0x{ADDRESS.hex()}"
    assert verified(ADDRESS, OTHERS_SIGNATURE) is None
    assert verified(ADDRESS, b"") is None
    assert gateways.verified(b"\xff garbage") is None
