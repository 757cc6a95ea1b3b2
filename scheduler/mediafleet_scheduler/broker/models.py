"""The models file: which pipelines and models a broker takes, and at what price; and what an
orchestrator that uses the broker as an external runner is given of it.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mediafleet_common.api.base import Model
from mediafleet_scheduler.core.workers.orchestrators.live_runner import Unit
from mediafleet_scheduler.core.workers.pipelines import FORMS, Pipeline
from mediafleet_scheduler.core.workers.views import Target

_MOST_INT64: Final = 2**63 - 1
Seconds = Annotated[float, Field(gt=0, le=3600)]
"""That a task may wait and run in all."""


class Byoc(Model):
    """How a model is registered at orchestrators as an external capability."""

    name: Annotated[str | None, Field(pattern=r"^[!-+\--~]+$", max_length=256)] = None
    """What gateways ask for; by default PIPELINE/MODEL."""
    price_per_unit: Annotated[int, Field(ge=0, le=_MOST_INT64)] = 0
    """For `price_scaling` seconds of a job; on-chain it is needed."""
    price_scaling: Annotated[int, Field(ge=1, le=_MOST_INT64)] = 1
    """How many seconds that is for."""
    currency: Annotated[str, Field(min_length=1, max_length=16)] = "wei"
    """wei, eth or, where the orchestrator has a price feed, its currency, as USD. One that it does
    not know makes it break the connection."""


class LiveRunner(Model):
    """How a model is registered at orchestrators as a live runner."""

    price: Annotated[float, Field(gt=0)]
    """US dollars, for each `unit`."""
    unit: Unit = Unit.HOUR
    """hour, 720p (an hour of it at 30 frames a second) or fixed (a request)."""


class ModelEntry(Model):
    """One model of one pipeline."""

    pipeline: Pipeline
    """Its name, as text-to-image."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """The model's id, as workers declare it."""
    price_per_unit: Annotated[float, Field(ge=0)] = 0
    """What an orchestrator is to ask for; on-chain it is needed."""
    pixels_per_unit: Annotated[int, Field(ge=1)] = 1
    """How many pixels (or what the pipeline counts) that is for."""
    currency: Annotated[str, Field(min_length=1, max_length=16)] = "wei"
    """Of the price."""
    wait_seconds: Seconds | None = None
    """How long a task may wait and run in all; by default what the file says of its pipeline."""
    min_runner_version: Annotated[str | None, Field(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")] = None
    """The least version of the ai-runner, as 0.14.1: a worker that declares an earlier one, or
    none, as `mediafleet worker`, gets no task of the model."""
    byoc: Byoc | None = None
    """Registers the model at the orchestrators of --orchestrators; none: it does not."""

    live_runner: LiveRunner | None = None
    """Registers the model there as a live runner; none: it does not."""

    @property
    def target(self) -> Target:
        """What tasks of it ask for."""
        return Target(self.pipeline, self.model)

    @property
    def capability(self) -> str | None:
        """Its name as an external capability; `None`: it is none."""
        return None if self.byoc is None else self.byoc.name or str(self.target)

    @property
    def seconds(self) -> float:
        """How long a task may wait and run in all."""
        return self.wait_seconds or FORMS[self.pipeline].limit_seconds

    @field_validator("pipeline")
    @classmethod
    def _served(cls, pipeline: Pipeline) -> Pipeline:
        if pipeline is Pipeline.IMAGE_TO_VIDEO:
            raise ValueError(
                "image-to-video cannot be offered to orchestrators: workers answer with a film,"
                " runners with its frames"
            )
        return pipeline


class ModelsFile(Model):
    """All of them."""

    wait_seconds: dict[Pipeline, Seconds] = Field(default_factory=dict)
    """By pipeline: how long a task may wait and run in all. By default 300; upscale and llm 600,
    audio-to-text 900."""
    models: Annotated[list[ModelEntry], Field(min_length=1, max_length=256)]
    """Each once."""

    @field_validator("models")
    @classmethod
    def _by_pipeline(cls, models: list[ModelEntry], info: ValidationInfo) -> list[ModelEntry]:
        known: dict[Pipeline, float] = info.data.get("wait_seconds", {})
        return [
            each
            if each.wait_seconds is not None
            else each.model_copy(update={"wait_seconds": known.get(each.pipeline)})
            for each in models
        ]

    @model_validator(mode="after")
    def _once(self) -> ModelsFile:
        seen: set[Target] = set()
        for each in self.models:
            if each.target in seen:
                raise ValueError(f"models: {each.target} is named twice")
            seen.add(each.target)
        names = [name for each in self.models if (name := each.capability) is not None]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"models: two have the byoc name {twice}")
        return self


def rendered(
    models: ModelsFile, url: str, capacity: int, token: str | None
) -> list[dict[str, object]]:
    """aiModels.json: an entry for each model, with a URL of its own, so that /version speaks of it.

    Fields: livepeer/go-livepeer core/ai.go (AIModelConfig). An orchestrator reads capacity and
    warmth here and nowhere else, once, at its start.
    """
    base = url.rstrip("/")
    return [
        {
            "pipeline": entry.pipeline.value,
            "model_id": entry.model,
            "url": f"{base}/runners/{entry.pipeline.value}/{quote(entry.model)}",
            "capacity": capacity,
            "warm": True,
            "price_per_unit": entry.price_per_unit,
            "pixels_per_unit": entry.pixels_per_unit,
            "currency": entry.currency,
            **({"token": token} if token else {}),
        }
        for entry in models.models
    ]
