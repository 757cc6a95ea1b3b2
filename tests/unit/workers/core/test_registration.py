"""What a registration offers, and which are refused."""

from __future__ import annotations

import pytest
from tests.kit.workers.captures import capture

from mediafleet_common.wire.ai_worker_pb2 import EarlierRegisterRequest, RegisterAIWorkerRequest
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.registration import (
    MOST_MODELS,
    MOST_NAME,
    Refusal,
    RefusedError,
    Registration,
    worker_of,
)
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker


def registered(message: RegisterAIWorkerRequest) -> Worker:
    return worker_of(Registration.of(message), "w1", "203.0.113.1:5")


def offering(*models: str, number: int = 27, capacity: int = 1) -> RegisterAIWorkerRequest:
    message = RegisterAIWorkerRequest()
    per_capability = message.capabilities.constraints.per_capability
    for model in models:
        per_capability[number].models[model].capacity = capacity
    return message


def test_a_stock_workers_registration_is_read_as_captured() -> None:
    found = registered(RegisterAIWorkerRequest.FromString(capture("register.pb")))
    image = found.offers[Target(Pipeline.TEXT_TO_IMAGE, "m/sd")]
    assert image == Offer(capacity=2, warm=True, version="0.13.0")
    assert {target.pipeline for target in found.offers} == {
        Pipeline.TEXT_TO_IMAGE,
        Pipeline.IMAGE_TO_IMAGE,
        Pipeline.AUDIO_TO_TEXT,
        Pipeline.SEGMENT_ANYTHING_2,
        Pipeline.LLM,
        Pipeline.IMAGE_TO_TEXT,
        Pipeline.TEXT_TO_SPEECH,
    }
    assert (found.version, found.hardware) == ("0.9.1-176aa415", ("Fake",))
    assert found.capacity == 14


@pytest.mark.parametrize("told_by", ["bit", "constraint"])
def test_live_video_is_refused_with_what_to_leave_out(told_by: str) -> None:
    message = offering("m/sd")
    if told_by == "bit":
        message.capabilities.bitstring.append(1 << 35)
    else:
        message.capabilities.constraints.per_capability[35].models["live"].capacity = 1
    with pytest.raises(RefusedError, match="leave it out of -aiModels") as refused:
        registered(message)
    assert refused.value.refusal is Refusal.LIVE_VIDEO


def test_no_model_with_capacity_is_zero_capacity_in_upstreams_words() -> None:
    with pytest.raises(RefusedError, match=r"^zero capacity$"):
        registered(offering("m/sd", capacity=0))
    with pytest.raises(RefusedError, match=r"^zero capacity$"):
        registered(offering("m/sd", number=99))


def test_a_registration_cannot_spend_the_brokers_memory() -> None:
    with pytest.raises(RefusedError) as refused:
        registered(offering(*(f"m{number}" for number in range(MOST_MODELS + 1))))
    assert refused.value.refusal is Refusal.TOO_MUCH
    with pytest.raises(RefusedError):
        registered(offering("x" * (MOST_NAME + 1)))


def test_the_earlier_forms_capacity_is_of_models_that_tell_none() -> None:
    message = EarlierRegisterRequest(secret="s", capacity=3)
    models = message.capabilities.constraints.per_capability[30].models
    models["a"].warm = True
    models["b"].capacity = 1
    found = worker_of(Registration.of_earlier(message), "w", "a")
    assert found.offers == {
        Target(Pipeline.UPSCALE, "a"): Offer(3, warm=True),
        Target(Pipeline.UPSCALE, "b"): Offer(1),
    }


def test_names_and_models_are_taken_up_to_their_bounds() -> None:
    assert MOST_MODELS == MOST_NAME == 256
    assert len(registered(offering(*(f"m{number}" for number in range(256)))).offers) == 256
    assert Target(Pipeline.TEXT_TO_IMAGE, "x" * 256) in registered(offering("x" * 256)).offers


def test_a_models_capacity_is_cut_and_a_workers_is_bounded() -> None:
    (offer,) = registered(offering("m", capacity=1025)).offers.values()
    assert offer.capacity == 1024
    assert registered(offering(*"abcd", capacity=1024)).capacity == 4096
    many = offering(*"abcd", capacity=1024)
    many.capabilities.constraints.per_capability[27].models["e"].capacity = 1
    with pytest.raises(RefusedError) as refused:
        registered(many)
    assert refused.value.refusal is Refusal.TOO_MUCH


def test_what_cannot_be_offered_hides_nothing_that_can() -> None:
    message = offering("z", number=36)
    per_capability = message.capabilities.constraints.per_capability
    per_capability[1].models["of no pipeline of workers"].capacity = 1
    per_capability[36].models["a"].capacity = 0
    assert list(registered(message).offers) == [Target(Pipeline.TEXT_TO_SPEECH, "z")]


def test_a_form_of_jobs_that_cannot_name_a_pipeline_is_not_given_it() -> None:
    message = offering("a", number=36)
    message.capabilities.constraints.per_capability[27].models["b"].capacity = 1
    spoken = {Pipeline.TEXT_TO_IMAGE}
    found = worker_of(Registration.of(message), "w", "a", spoken)
    assert list(found.offers) == [Target(Pipeline.TEXT_TO_IMAGE, "b")]


def test_other_bits_than_live_videos_refuse_nobody() -> None:
    message = offering("m")
    message.capabilities.bitstring.extend([~(1 << 35) & (1 << 64) - 1, 1 << 35])
    assert len(registered(message).offers) == 1


def test_a_capacity_below_none_is_none() -> None:
    message = EarlierRegisterRequest(secret="s", capacity=-1)
    message.capabilities.constraints.per_capability[30].models["a"].warm = True
    with pytest.raises(RefusedError) as refused:
        worker_of(Registration.of_earlier(message), "w", "a")
    assert refused.value.refusal is Refusal.CAPACITY


def test_hardware_is_named_once_each_and_without_the_nameless() -> None:
    message = offering("m")
    for name in ("B", "A", "A", "", "C" * 300):
        message.hardware.add().gpu_info["0"].name = name
    assert registered(message).hardware == ("A", "B", "C" * 256)
