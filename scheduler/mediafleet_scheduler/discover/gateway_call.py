"""GetOrchestrator at a URL, as a gateway asks it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import DecodeError

from mediafleet_common.formats import eth
from mediafleet_common.formats.bits import to_bits
from mediafleet_common.formats.reach import OWN_WORD, Reach
from mediafleet_common.probes.ping import GET_ORCHESTRATOR, Answer, NodeClient
from mediafleet_common.wire.livepeer_pb2 import (
    Capabilities as CapabilitiesMessage,
)
from mediafleet_common.wire.livepeer_pb2 import (
    OrchestratorInfo,
    OrchestratorRequest,
)
from mediafleet_scheduler.core.advertise.capabilities import Wanted, read
from mediafleet_scheduler.core.advertise.discovery import Failure, Offer, Why
from mediafleet_scheduler.core.advertise.gateway_url import NotAUrlError, gateway_target

TIMEOUT_SECONDS: Final = 8.0
"""Of one call, as upstream (server/rpc.go, GRPCTimeout); a round is cut off before."""


def request(capabilities: Iterable[Wanted], key: str | None = None) -> bytes:
    """A gateway's request, signed with a private key if one is given: without a signature nodes
    on-chain refuse it, and say so.

    Raises:
        eth.BadKeyError: `key` is none.
    """
    # Off-chain every gateway has this address.
    message = OrchestratorRequest(address=bytes(eth.ADDRESS_BYTES))
    if key is not None:
        message.address, message.sig = eth.sign(eth.private_key(key))
    by_number: dict[int, list[Wanted]] = {}
    for each in capabilities:
        by_number.setdefault(each.number, []).append(each)
    if by_number:
        said = CapabilitiesMessage(bitstring=to_bits(frozenset(by_number)))
        for number, wanted in by_number.items():
            models = said.constraints.per_capability[number].models
            for each in wanted:
                if each.model:
                    models[each.model].SetInParent()
        message.capabilities = said.SerializeToString()
    return message.SerializeToString()


async def ask(url: str, message: bytes, reach: Reach = OWN_WORD) -> Offer | Failure:
    """Ask once, over a connection of its own, as upstream does. Never raises but for cancellation.

    `message` is a serialised OrchestratorRequest; `reach` says where the URL may lead.
    """
    try:
        target = gateway_target(url)
    except NotAUrlError as error:
        return Failure(Why.BAD_URL, str(error))
    if target is None:
        return Failure(Why.UNREACHABLE, "there is no host and port in it to dial")
    async with NodeClient(target, reach) as client:
        answer, info = await client.call(GET_ORCHESTRATOR, message, TIMEOUT_SECONDS)
        if answer is Answer.REFUSED:
            return Failure(Why.REFUSED, client.refusal)
    if info is None:
        return Failure(Why.UNREACHABLE, client.refusal)
    return offer(info)


def offer(info: bytes) -> Offer | Failure:
    """What a serialised OrchestratorInfo says."""
    try:
        parsed = OrchestratorInfo.FromString(info)
        capabilities = read(parsed.capabilities) if parsed.HasField("capabilities") else None
    except DecodeError as error:
        return Failure(Why.UNREADABLE, str(error))
    priced = parsed.HasField("price_info")
    return Offer(
        transcoder=parsed.transcoder,
        nodes=tuple(parsed.nodes),
        capabilities=capabilities,
        eth_address=f"0x{parsed.address.hex()}" if parsed.address else "",
        price_per_unit=parsed.price_info.price_per_unit if priced else None,
        pixels_per_unit=parsed.price_info.pixels_per_unit if priced else None,
    )
