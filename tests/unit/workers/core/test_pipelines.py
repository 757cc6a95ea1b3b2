"""What a request of each pipeline holds, and how a form's text is read."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.core.workers.pipelines import (
    BY_CAPABILITY,
    FORMS,
    WORKER_SECONDS,
    BadRequestError,
    Pipeline,
    check,
    model_of,
    typed,
)


def test_numbers_are_those_of_go_livepeers_capabilities() -> None:
    assert {form.capability: pipeline.value for pipeline, form in FORMS.items()} == {
        27: "text-to-image",
        28: "image-to-image",
        29: "image-to-video",
        30: "upscale",
        31: "audio-to-text",
        32: "segment-anything-2",
        33: "llm",
        34: "image-to-text",
        36: "text-to-speech",
    }
    assert all(FORMS[pipeline].capability == number for number, pipeline in BY_CAPABILITY.items())


def test_requests_with_a_file_are_those_about_an_image_or_a_sound() -> None:
    assert {
        pipeline.value: form.file_field for pipeline, form in FORMS.items() if form.file_field
    } == {
        "image-to-image": "image",
        "image-to-video": "image",
        "upscale": "image",
        "audio-to-text": "audio",
        "segment-anything-2": "image",
        "image-to-text": "image",
    }


def test_a_task_may_take_what_its_pipeline_takes_and_no_longer_than_a_worker_works() -> None:
    longer = {each.value: form.limit_seconds for each, form in FORMS.items()}
    assert WORKER_SECONDS == 900.0
    assert longer == {
        "text-to-image": 300.0,
        "image-to-image": 300.0,
        "image-to-video": 900.0,
        "upscale": 600.0,
        "audio-to-text": 900.0,
        "segment-anything-2": 300.0,
        "llm": 600.0,
        "image-to-text": 300.0,
        "text-to-speech": 300.0,
    }


@pytest.mark.parametrize("pipeline", Pipeline)
def test_each_names_its_model_in_its_own_field(pipeline: Pipeline) -> None:
    field = "model" if pipeline is Pipeline.LLM else "model_id"
    assert model_of(pipeline, {field: "m"}) == "m"
    for request in ({}, {field: ""}, {field: 7}):
        with pytest.raises(BadRequestError, match=f"^{field}: is missing") as refused:
            model_of(pipeline, request)
        assert refused.value.field == field
        assert refused.value.message == "is missing: name the model"


@pytest.mark.parametrize(
    ("pipeline", "field", "value"),
    [
        (Pipeline.TEXT_TO_IMAGE, "prompt", "a cat"),
        (Pipeline.IMAGE_TO_IMAGE, "prompt", "a cat"),
        (Pipeline.UPSCALE, "prompt", "a cat"),
        (Pipeline.TEXT_TO_SPEECH, "text", "hello"),
        (Pipeline.LLM, "messages", [{"role": "user", "content": "hello"}]),
    ],
)
def test_what_every_worker_needs_is_asked_for(
    pipeline: Pipeline, field: str, value: object
) -> None:
    model = {"model": "m", "model_id": "m"}
    check(pipeline, {**model, field: value})
    nothing: list[dict[str, object]] = [{}, {field: None}, {field: ""}, {field: []}]
    for missing in nothing:
        with pytest.raises(BadRequestError, match=f"^{field}: is missing: {pipeline} needs it$"):
            check(pipeline, {**model, **missing})


def test_a_missing_model_is_told_first() -> None:
    with pytest.raises(BadRequestError, match=r"^model_id: "):
        check(Pipeline.TEXT_TO_IMAGE, {})


@pytest.mark.parametrize(
    "pipeline",
    [
        Pipeline.IMAGE_TO_VIDEO,
        Pipeline.AUDIO_TO_TEXT,
        Pipeline.SEGMENT_ANYTHING_2,
        Pipeline.IMAGE_TO_TEXT,
    ],
)
def test_others_need_their_model_alone(pipeline: Pipeline) -> None:
    check(pipeline, {"model_id": "m"})


WHOLE = [
    *("fps", "height", "width", "motion_bucket_id", "num_images_per_prompt"),
    *("num_inference_steps", "seed", "max_tokens", "top_k"),
]
REAL = [
    *("guidance_scale", "image_guidance_scale", "strength", "noise_aug_strength"),
    *("temperature", "top_p"),
]
BOOLEAN = ["safety_check", "multimask_output", "normalize_coords", "return_logits", "stream"]


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_are_read_as_such(name: str) -> None:
    value = typed([(name, "12")])[name]
    assert (value, type(value)) == (12, int)
    with pytest.raises(BadRequestError, match=f"^{name}: must be a whole number$"):
        typed([(name, "1.5")])


@pytest.mark.parametrize("name", REAL)
def test_real_numbers_are_read_as_such(name: str) -> None:
    value = typed([(name, "2")])[name]
    assert (value, type(value)) == (2.0, float)
    with pytest.raises(BadRequestError, match=f"^{name}: must be a number$"):
        typed([(name, "much")])


@pytest.mark.parametrize("name", BOOLEAN)
def test_truth_is_read_as_go_writes_it(name: str) -> None:
    for text, wanted in (("true", True), (" True ", True), ("1", True), ("FALSE", False)):
        assert typed([(name, text)]) == {name: wanted}
    assert typed([(name, "0")])[name] is False
    with pytest.raises(BadRequestError, match=f"^{name}: must be true or false$"):
        typed([(name, "yes")])


def test_all_else_stays_text() -> None:
    assert typed([("prompt", "7"), ("points", "[1]")]) == {"prompt": "7", "points": "[1]"}
