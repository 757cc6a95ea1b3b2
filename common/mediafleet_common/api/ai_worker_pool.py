"""AIWorkerPool: pods of AI workers that register at a broker."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from mediafleet_common.api.base import Form, Keyed, Model, Rule
from mediafleet_common.api.durations import seconds
from mediafleet_common.api.names import Port
from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_common.api.shared import (
    Drain,
    FleetStatus,
    Replicas,
    SecretKey,
    Template,
    Update,
)

SETTLE_SECONDS = 5.0
"""For the broker to hear that a pod drains."""


class Pipeline(StrEnum):
    """A pipeline that remote AI workers serve."""

    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"
    IMAGE_TO_VIDEO = "image-to-video"
    UPSCALE = "upscale"
    AUDIO_TO_TEXT = "audio-to-text"
    SEGMENT_ANYTHING_2 = "segment-anything-2"
    LLM = "llm"
    IMAGE_TO_TEXT = "image-to-text"
    TEXT_TO_SPEECH = "text-to-speech"


class ServedModel(Model):
    """One model that each pod serves."""

    pipeline: Pipeline
    """Its pipeline."""
    model: Annotated[
        str,
        Field(max_length=200),
        Form("^[^*=\\t\\n\\f\\r ]+$", "write the model's id, without spaces, * and ="),
    ]
    """The model's id, as tasks ask for it."""
    capacity: Annotated[int, Field(ge=1, le=1024)] = 1
    """Tasks that a pod's runner takes at a time."""
    warm: bool = True
    """Whether the runner has it loaded. Cold ones are given tasks where no warm one has room."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """Where its ai-runner listens in the pod."""


class Broker(Model):
    """Where the workers register."""

    address: Annotated[
        str,
        Field(max_length=260),
        Form(
            "^[A-Za-z0-9.\\[\\]:-]+:[0-9]{1,5}$",
            "write HOST:PORT, for example mediafleet-broker.mediafleet:8936",
        ),
    ]
    """HOST:PORT of the broker's workers."""
    server_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Name in its certificate, if another than the host."""
    addresses: (
        Annotated[
            str,
            Field(max_length=253),
            Form("^[A-Za-z0-9.-]+$", "write a name, for example mediafleet-broker-each.mediafleet"),
        ]
        | None
    ) = None
    """A name whose every address is a broker with that port and certificate, as of a headless \
Service: each worker registers at all of them and shares its capacity. Absent: at address alone."""


class StockWorker(Model):
    """A stock `livepeer -aiWorker` in each pod."""

    image: Annotated[str, Field(min_length=1, max_length=512)] = "livepeer/go-livepeer:v0.9.2"
    """Image of go-livepeer."""


class AIWorkerPoolSpec(Model):
    """What is wanted."""

    RULES = (
        Rule(
            (
                "!has(self.autoscaling) || !has(self.autoscaling.buffer) "
                "|| !has(self.autoscaling.buffer.type)"
            ),
            "autoscaling.buffer.type is not for an AIWorkerPool: room is kept for each model",
            lambda self: self.autoscaling is None or self.autoscaling.buffer.type is None,
        ),
        Rule(
            (
                f"self.models.all(m, m.port != {Port.AGENT} && (!has(self.stockWorker) "
                f"|| (m.port != {Port.STOCK_WORKER} && m.port != {Port.DOCKER})))"
            ),
            (
                f"models[].port: {Port.AGENT} is taken in each pod, and with stockWorker "
                f"{Port.STOCK_WORKER} and {Port.DOCKER}; have the runner listen on another"
            ),
            lambda self: not self._taken & {each.port for each in self.models},
        ),
    )

    replicas: Replicas | None = None
    """How many pods. Absent, it is set to max(1, autoscaling.min) once; autoscalers and kubectl \
scale write it."""
    paused: bool = False
    """Leaves all pods as they are; their tasks go on."""
    models: Annotated[
        list[ServedModel],
        Field(min_length=1, max_length=64),
        Keyed(("pipeline", "model")),
    ]
    """What each pod serves."""
    secret: SecretKey
    """What the workers register with: a line of the broker's secret file."""
    broker: Broker | None = None
    """Where they register. Absent: the broker of the operator's chart."""
    ca: SecretKey | None = None
    """The authority of the broker's certificate, or that certificate (PEM). Absent: those \
that the system trusts."""
    stock_worker: StockWorker | None = None
    """Has a stock go-livepeer worker take the tasks to the runners, behind ours; {} is enough. \
Absent: ours takes them."""
    template: Template = Template()
    """The pods: its containers are the ai-runners, beside which ours is put."""
    drain: Drain = Drain()
    """How a pod leaves: no new task, wait for those that it has."""
    update: Update = Update()
    """How pods are replaced when the template changes."""
    autoscaling: Autoscaling | None = None
    """Who writes replicas, and by what. Absent: nobody but you."""

    @property
    def _taken(self) -> set[int]:
        """Ports that containers of ours listen on, which all of a pod share."""
        stock = {Port.STOCK_WORKER, Port.DOCKER} if self.stock_worker else set()
        return {Port.AGENT, *stock}

    @property
    def settle_seconds(self) -> float:
        """Seconds between the mark that a pod drains and the first idle reading that counts."""
        return seconds(self.drain.settle) if self.drain.settle else SETTLE_SECONDS


class ModelStatus(Model):
    """One model, as the broker last reported."""

    name: str
    """Pipeline and model."""
    capacity: int = 0
    """Tasks of it that the pool's Ready pods take at a time."""
    in_use: int = 0
    """Tasks of it that they have."""
    waiting: int = 0
    """Tasks of it that wait for a worker, of this pool or any other."""
    missed: int = 0
    """Tasks of it that no worker had room for in time, since the broker started."""
    other_workers: int = 0
    """Workers that serve it and are no pods of this pool."""


class AIWorkerPoolStatus(FleetStatus):
    """What the operator last saw and decided."""

    workers: int | None = None
    """Pods whose worker is registered at the broker; absent while the broker reports nothing."""
    in_use: int | None = None
    """Tasks on all pods; absent while the load of a pod is unknown."""
    waiting: int | None = None
    """Tasks that wait for a worker; absent while the broker reports nothing."""
    missed: int | None = None
    """Tasks that no worker had room for in time, since the broker started."""
    models: Annotated[list[ModelStatus], Keyed(("name",))] = Field(default_factory=list)
    """Each model, as the broker last reported; empty while it reports nothing."""


class AIWorkerPool(Model):
    """Pods of AI workers that register at a broker, which gives them the tasks of orchestrators \
and of the JSON API. Pods drain safely: no task is lost when one leaves."""

    kind: Literal["AIWorkerPool"] = "AIWorkerPool"
    spec: AIWorkerPoolSpec
    """What is wanted."""
    status: AIWorkerPoolStatus | None = None
    """What the operator last saw and decided."""
