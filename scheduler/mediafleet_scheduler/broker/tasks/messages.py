"""What the JSON API takes and gives, as models: the OpenAPI document is made of them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from mediafleet_common.reports.task import TaskState
from mediafleet_scheduler.core.workers.pipelines import Pipeline

MOST_WAIT_SECONDS: Final = 60.0


class _Message(BaseModel):
    """Fields in snake_case, as the ai-runner's; unknown ones are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class Submission(_Message):
    """A task to do."""

    pipeline: Pipeline
    """As text-to-image."""
    request: dict[str, JsonValue]
    """The fields of the ai-runner's request of this pipeline, the model among them, but for its
    file."""
    session: Annotated[str | None, Field(min_length=1, max_length=256)] = None
    """Tasks of one session go to one worker while it has room. Of llm: `prompt_cache_key` of the
    request, if there is none."""
    timeout_seconds: Annotated[float | None, Field(gt=0, le=3600)] = None
    """How long the task may wait and run in all; the model's own bound holds beside it."""


class Task(_Message):
    """A task, as it stands."""

    id: str
    """Whoever has it and a token may read the result."""
    pipeline: str
    """What was asked for."""
    model: str
    """The model."""
    state: TaskState
    """Where it is."""
    words: str = ""
    """Why it failed."""
    attempts: int = 0
    """Workers that were given it."""
    worker: str | None = None
    """Who has it now; null: nobody."""
    expires_in_seconds: float | None = None
    """When its result is thrown away; null: it has none yet."""


class Problem(_Message):
    """What is wrong, and what to do about it."""

    code: str
    """For programs."""
    field: str | None = None
    """Where in the request; null: it is not one field."""
    message: str
    """What is wrong."""
    fix: str
    """What to do."""


class Problems(_Message):
    """The body of each answer that is none."""

    error: Problem
    """What is wrong."""
