"""The AI pipelines: their numbers on the wire, and what a request of each holds.

Numbers: livepeer/go-livepeer core/capabilities.go. Fields and their types:
livepeer/go-livepeer ai/worker/runner.gen.go, the API of ai-runner. A worker reads a request into
typed fields, so that a form's text must become the number or boolean that it means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.ai_worker_pool import Pipeline

__all__ = [
    "BY_CAPABILITY",
    "FORMS",
    "LIVE_VIDEO",
    "WORKER_SECONDS",
    "BadRequestError",
    "Form",
    "Pipeline",
    "check",
    "model_of",
    "session_of",
    "typed",
]


LIVE_VIDEO: Final = 35
"""live-video-to-video: remote workers refuse its jobs, and a stock orchestrator without a local
worker crashes when one registers it."""


class BadRequestError(ValueError):
    """A request that no worker could read; the text names the field and the fix."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Form:
    """What a request of a pipeline holds."""

    capability: int
    model_field: str = "model_id"
    file_field: str | None = None
    """The input file; the pipeline's requests are multipart forms then, and JSON otherwise."""
    required: tuple[str, ...] = ()
    limit_seconds: float = 300.0
    """How long a task may wait and run in all, where the models file says nothing else."""


WORKER_SECONDS: Final = 900.0
"""How long a worker works on one task (go-livepeer core/ai_orchestrator.go): a longer limit is for
waiting."""
_EVENTS_SECONDS: Final = 600.0
"""How long an LLM's words may come (go-livepeer core/ai_orchestrator.go)."""

FORMS: Final[Mapping[Pipeline, Form]] = {
    Pipeline.TEXT_TO_IMAGE: Form(27, required=("prompt",)),
    Pipeline.IMAGE_TO_IMAGE: Form(28, file_field="image", required=("prompt",)),
    Pipeline.IMAGE_TO_VIDEO: Form(29, file_field="image", limit_seconds=WORKER_SECONDS),
    Pipeline.UPSCALE: Form(30, file_field="image", required=("prompt",), limit_seconds=600.0),
    Pipeline.AUDIO_TO_TEXT: Form(31, file_field="audio", limit_seconds=WORKER_SECONDS),
    Pipeline.SEGMENT_ANYTHING_2: Form(32, file_field="image"),
    Pipeline.LLM: Form(
        33, model_field="model", required=("messages",), limit_seconds=_EVENTS_SECONDS
    ),
    Pipeline.IMAGE_TO_TEXT: Form(34, file_field="image"),
    Pipeline.TEXT_TO_SPEECH: Form(36, required=("text",)),
}
BY_CAPABILITY: Final[Mapping[int, Pipeline]] = {
    form.capability: pipeline for pipeline, form in FORMS.items()
}

_WHOLE: Final = frozenset(
    (
        *("fps", "height", "width", "motion_bucket_id", "num_images_per_prompt"),
        *("num_inference_steps", "seed", "max_tokens", "top_k"),
    )
)
_REAL: Final = frozenset(
    (
        *("guidance_scale", "image_guidance_scale", "strength", "noise_aug_strength"),
        *("temperature", "top_p"),
    )
)
_BOOLEAN: Final = frozenset(
    ("safety_check", "multimask_output", "normalize_coords", "return_logits", "stream")
)
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def model_of(pipeline: Pipeline, request: Mapping[str, object]) -> str:
    """The model that a request asks for.

    Raises:
        BadRequestError: it names none.
    """
    field = FORMS[pipeline].model_field
    model = request.get(field)
    if not isinstance(model, str) or not model:
        raise BadRequestError(field, "is missing: name the model")
    return model


def session_of(pipeline: Pipeline, request: Mapping[str, object]) -> str | None:
    """The cache key of an LLM's request (OpenAI's name): requests of one key share a prompt's
    beginning, which the worker that had the last one still holds."""
    key = request.get("prompt_cache_key") if pipeline is Pipeline.LLM else None
    return key[:256] if isinstance(key, str) and key else None


def check(pipeline: Pipeline, request: Mapping[str, object]) -> None:
    """See that a request holds what every worker needs.

    Raises:
        BadRequestError: the first field that is missing.
    """
    model_of(pipeline, request)
    for field in FORMS[pipeline].required:
        if request.get(field) in (None, "", []):
            raise BadRequestError(field, f"is missing: {pipeline} needs it")


def typed(fields: Iterable[tuple[str, str]]) -> dict[str, object]:
    """The text fields of a multipart form as the values that a worker reads.

    Raises:
        BadRequestError: a text is not of its field's type.
    """
    return {name: _value(name, text) for name, text in fields}


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError
    return number


def _value(name: str, text: str) -> object:
    try:
        if name in _WHOLE:
            return int(text)
        if name in _REAL:
            return _finite(float(text))
    except ValueError:
        kind = "a whole number" if name in _WHOLE else "a number"
        raise BadRequestError(name, f"must be {kind}") from None
    if name in _BOOLEAN:
        value = _BOOLEANS.get(text.strip().lower())
        if value is None:
            raise BadRequestError(name, "must be true or false")
        return value
    return text
