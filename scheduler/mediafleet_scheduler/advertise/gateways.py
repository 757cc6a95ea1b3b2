"""The gateways that ask: counted by address, and refused where the pool names others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats import eth
from mediafleet_common.wire.livepeer_pb2 import OrchestratorRequest
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.core.advertise.capabilities import MOST_ASKED_BYTES, Wanted, asked
from mediafleet_scheduler.core.advertise.views import PoolView

_REMEMBERED: Final = 10_000
_ADDRESS_BYTES: Final = eth.ADDRESS_BYTES

NOT_ALLOWED: Final = (
    "this gateway is not on the list of advertise.gateways, or its signature is not its own"
)

_remembered = lru_cache(maxsize=4096)(eth.signed)
"""A gateway's signature is the same each time."""
_asked = lru_cache(maxsize=256)(asked)
"""Gateways ask for a few things, each of them often."""


@dataclass(frozen=True, slots=True)
class GatewayRequest:
    """What a gateway said in a request that it may make."""

    address: bytes
    """Its ETH address, as it claims; empty: none of its own."""
    wanted: tuple[Wanted, ...] = ()
    """What it needs a node for; empty: it did not say."""


_NOBODY: Final = GatewayRequest(b"")


def _signed(address: bytes, signature: bytes) -> bool:
    """Whether a signature is that of an address. What is of another length is none, and may be as
    long as a message: that is not remembered."""
    if len(address) != _ADDRESS_BYTES or len(signature) != eth.SIGNATURE_BYTES:
        return False
    return _remembered(address, signature)


class Gateways:
    """The gateways of a pool."""

    def __init__(
        self, metrics: AdvertiseMetrics, clock: Clock = SYSTEM, recent_seconds: float = 600.0
    ) -> None:
        self._recent_seconds = recent_seconds
        self._clock = clock
        self._allowed: frozenset[bytes] = frozenset()
        self._seen: dict[bytes, float] = {}
        metrics.gateways.set_function(self.count)

    def take(self, view: PoolView) -> None:
        """Admit the gateways of this pool."""
        self._allowed = frozenset(bytes.fromhex(each[2:]) for each in view.advertise.gateways)

    def admit(self, request: bytes) -> GatewayRequest | None:
        """Who asks for what; `None`: it may not ask.

        The signature is verified only where the pool names its gateways: it identifies a gateway
        and authenticates none, and an order reveals nothing.
        """
        try:
            said = OrchestratorRequest.FromString(request)
        except DecodeError:
            return _NOBODY if not self._allowed else None
        # One of another length is none, and all gateways off-chain have that of zeros.
        address = said.address if len(said.address) == _ADDRESS_BYTES else b""
        address = address if any(address) else b""
        if self._allowed and not (address in self._allowed and _signed(address, said.sig)):
            return None
        if address:
            self._note(address)
        wanted = said.capabilities if len(said.capabilities) <= MOST_ASKED_BYTES else b""
        return GatewayRequest(address, _asked(wanted))

    def verified(self, request: bytes) -> str | None:
        """The ETH address that a request is signed by, as `0x` and hex; `None`: it has none."""
        try:
            said = OrchestratorRequest.FromString(request)
        except DecodeError:
            return None
        signed = any(said.address) and _signed(said.address, said.sig)
        return f"0x{said.address.hex()}" if signed else None

    def count(self) -> int:
        """How many have asked in the last ten minutes."""
        since = self._clock.monotonic() - self._recent_seconds
        return sum(at >= since for at in self._seen.values())

    def _note(self, address: bytes) -> None:
        # Taken out first, so that the gateway that asked longest ago stands first.
        self._seen.pop(address, None)
        if len(self._seen) >= _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[address] = self._clock.monotonic()
