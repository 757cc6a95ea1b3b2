"""Who may register, and what a registration offers.

The words that end a worker are upstream's (livepeer/go-livepeer core/ai_worker.go): a stock worker
compares them as they are, stops for good, and stays as a process. All other refusals bring it back.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mediafleet_common.formats.bits import from_bits
from mediafleet_common.wire.ai_worker_pb2 import EarlierRegisterRequest, RegisterAIWorkerRequest
from mediafleet_common.wire.livepeer_pb2 import Capabilities
from mediafleet_scheduler.core.workers.pipelines import BY_CAPABILITY, LIVE_VIDEO, Pipeline
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker

MOST_MODELS: Final = 256
MOST_CAPACITY: Final = 1024
"""Of one model of one worker, and of all its models together four times as much."""
MOST_NAME: Final = 256
"""Characters of a model's or version's name."""
NAME_HEADER: Final = "mediafleet-worker"
"""Metadata of a registration: NAMESPACE/NAME of the pod that the worker is in."""
INSTANCE_HEADER: Final = "mediafleet-worker-uid"
"""And the pod's uid."""


class Refusal(StrEnum):
    """Why a worker may not register, in the words that it receives."""

    SECRET = "invalid secret"
    CAPACITY = "zero capacity"
    LIVE_VIDEO = (
        "live-video-to-video (capability 35) cannot be served by a remote worker:"
        " leave it out of -aiModels"
    )
    TOO_MUCH = "more models, or longer names, than a worker may offer"


class RefusedError(Exception):
    """The worker may not register."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Registration:
    """What a worker sent, but for the secret."""

    capabilities: Capabilities
    hardware: tuple[str, ...] = ()
    name: str | None = None
    """What the worker calls itself; `None`: stock workers have no name."""
    instance: str | None = None
    """Which run of that name it is: of a pod its uid."""
    capacity: int | None = None
    """In the earlier form, of each model that declares none itself."""

    @classmethod
    def of(cls, message: RegisterAIWorkerRequest) -> Registration:
        """Of a stock worker."""
        names = {gpu.name for each in message.hardware for gpu in each.gpu_info.values()}
        shown = sorted(name[:MOST_NAME] for name in names if name)[:MOST_MODELS]
        return cls(message.capabilities, tuple(shown))

    @classmethod
    def of_earlier(cls, message: EarlierRegisterRequest) -> Registration:
        """Of a worker of the earlier form."""
        return cls(message.capabilities, capacity=max(0, message.capacity))


def worker_of(
    registration: Registration,
    name: str,
    address: str,
    spoken: Container[Pipeline] = frozenset(Pipeline),
) -> Worker:
    """The worker that registers; `spoken` are the pipelines that its form of jobs can name.

    Capacity and warmth of a model are what its constraints say: the map `capacities` always says 1.

    Raises:
        RefusedError: it offers nothing, or what it may not.
    """
    offered = registration.capabilities
    constraints = offered.constraints.per_capability
    if LIVE_VIDEO in constraints or LIVE_VIDEO in from_bits(offered.bitstring):
        raise RefusedError(Refusal.LIVE_VIDEO)
    offers: dict[Target, Offer] = {}
    for number, each in sorted(constraints.items()):
        pipeline = BY_CAPABILITY.get(number)
        if pipeline is None or pipeline not in spoken:
            continue
        for model_name, model in sorted(each.models.items()):
            capacity = model.capacity or registration.capacity or 0
            if capacity < 1:
                continue
            if len(model_name) > MOST_NAME or len(offers) == MOST_MODELS:
                raise RefusedError(Refusal.TOO_MUCH)
            version = model.runner_version[:MOST_NAME] or None
            offer = Offer(min(capacity, MOST_CAPACITY), model.warm, version)
            offers[Target(pipeline, model_name)] = offer
    if not offers:
        raise RefusedError(Refusal.CAPACITY)
    if sum(offer.capacity for offer in offers.values()) > 4 * MOST_CAPACITY:
        raise RefusedError(Refusal.TOO_MUCH)
    return Worker(
        name,
        address,
        offers,
        offered.version[:MOST_NAME],
        registration.hardware,
        registration.name,
        registration.instance,
    )
