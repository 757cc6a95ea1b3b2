"""What is made of an ai-runner's answers on its version and its hardware."""

from __future__ import annotations

import json

import pytest

from mediafleet_scheduler.core.workers.claims.runner import (
    Claims,
    Gpu,
    gpus_of,
    least,
    version_of,
)
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.views import Target

SD = Target(Pipeline.TEXT_TO_IMAGE, "m/sd")
GPU = {"id": "GPU-0", "name": "RTX 4090", "major": 8, "minor": 9, "memory_total": 25_757_220_864}


def answer(**fields: object) -> bytes:
    return json.dumps({"pipeline": "text-to-image", "model_id": "m/sd", **fields}).encode()


def test_a_version_counts_where_the_runner_speaks_of_the_same_model() -> None:
    assert version_of(SD, answer(version="0.14.1")) == "0.14.1"
    assert version_of(SD, answer(version="0.14.1", model_id="other")) is None
    assert version_of(SD, answer(version="0.14.1", pipeline="llm")) is None


@pytest.mark.parametrize(
    "text",
    [b"", b"no", b"[]", b"\xff", b"[" * 999, answer(), answer(version=""), answer(version=14)],
)
def test_an_answer_that_tells_no_version_leaves_it_unknown(text: bytes) -> None:
    assert version_of(SD, text) is None
    assert gpus_of(text) is None


def test_gpus_are_read_by_the_runners_own_keys_and_what_is_none_is_not_told() -> None:
    assert gpus_of(answer(gpu_info={"0": GPU})) == {
        "0": Gpu("GPU-0", "RTX 4090", 8, 9, 0, 25_757_220_864)
    }
    assert gpus_of(answer(gpu_info={})) == {}
    broken = {"id": 5, "name": None, "major": -1, "minor": 2**32, "memory_free": 2**64}
    assert gpus_of(answer(gpu_info={"0": broken, "1": "none"})) == {"0": Gpu()}
    assert gpus_of(answer(gpu_info={"0": {**broken, "major": True}})) == {"0": Gpu()}


def test_names_and_numbers_of_gpus_are_bounded() -> None:
    many = {str(number): {"name": "x" * 999} for number in range(999)}
    found = gpus_of(answer(gpu_info=many)) or {}
    assert len(found) == 64
    assert {len(each.name) for each in found.values()} == {256}
    assert len(version_of(SD, answer(version="1" * 999)) or "") == 256


def test_of_several_runners_of_a_model_the_least_version_is_told_if_all_are_known() -> None:
    assert least(["0.14.1", "0.9.2"]) == "0.9.2"
    assert least(["0.14.1", None]) is None
    assert least([None]) is None
    assert least([]) is None


def test_what_a_runner_does_not_tell_now_stays_as_it_was_told() -> None:
    gpus = {"0": Gpu("GPU-0", "RTX 4090", memory_free=5)}
    earlier = Claims("0.14.1", gpus)
    assert Claims().after(earlier) == earlier
    assert Claims("0.15.0", {}).after(earlier) == Claims("0.15.0", {})


def test_a_broker_hears_of_versions_and_gpus_and_not_of_free_memory() -> None:
    known = Claims("0.14.1", {"0": Gpu("GPU-0", "RTX 4090", memory_free=5)})
    assert not known.differs(Claims("0.14.1", {"0": Gpu("GPU-0", "RTX 4090", memory_free=9)}))
    assert known.differs(Claims("0.15.0", known.gpus))
    assert known.differs(Claims("0.14.1", {"0": Gpu("GPU-1", "RTX 4090")}))
    assert not Claims().differs(Claims(None, {}))
