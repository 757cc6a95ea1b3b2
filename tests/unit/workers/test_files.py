"""The broker's files: secrets, models, and what orchestrators are given of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.tls import self_signed
from mediafleet_scheduler.broker.files import Certificate, Lines
from mediafleet_scheduler.broker.models import ModelsFile, rendered
from mediafleet_scheduler.directory.files import BrokenFileError, parse


def test_a_secret_that_is_taken_out_counts_no_more(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("# of pool a\nalpha\n\nbeta\n")
    lines = Lines(path)
    assert lines() == ["alpha", "beta"]
    path.write_text("alpha\n")
    assert lines() == ["alpha"]


def test_a_secret_file_that_goes_leaves_what_it_held_in_force(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("alpha\n")
    lines = Lines(path)
    path.unlink()
    assert lines() == ["alpha"]


@pytest.mark.parametrize(
    ("content", "why"), [(b"\n# none\n", "it holds no line"), (b"s\xff\n", "not UTF-8")]
)
def test_a_secret_file_without_a_secret_is_no_start_and_its_text_is_not_told(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(CannotStartError, match=why) as refused:
        Lines(path)
    assert "none" not in str(refused.value)


def test_a_replaced_certificate_is_picked_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def write(*hosts: str) -> None:
        made_key, made = self_signed(hosts)
        certificate.write_bytes(made)
        key.write_bytes(made_key)

    write("one.example")
    pair = Certificate(certificate, key)
    write("two.example")
    pair.reload()
    key.write_bytes(b"no key")
    pair.reload()
    with pytest.raises(CannotStartError, match="not PEM"):
        Certificate(certificate, key)


MODELS = b"""
models:
  - {pipeline: text-to-image, model: ByteDance/SDXL-Lightning, price_per_unit: 10}
  - {pipeline: llm, model: m/llm}
"""


def test_an_orchestrator_gets_a_runner_for_each_model() -> None:
    image, llm = rendered(parse(MODELS, ModelsFile), "http://broker:8080/", 4, "tok")
    assert image == {
        "pipeline": "text-to-image",
        "model_id": "ByteDance/SDXL-Lightning",
        "url": "http://broker:8080/runners/text-to-image/ByteDance/SDXL-Lightning",
        "capacity": 4,
        "warm": True,
        "price_per_unit": 10,
        "pixels_per_unit": 1,
        "currency": "wei",
        "token": "tok",
    }
    assert llm["price_per_unit"] == 0


def test_a_task_may_wait_as_long_as_its_model_its_pipeline_or_the_usual_says() -> None:
    limits = b"wait_seconds: {text-to-image: 60, llm: 90}\n"
    more = b"  - {pipeline: llm, model: own, wait_seconds: 7}\n  - {pipeline: upscale, model: m}\n"
    file = parse(limits + MODELS + more, ModelsFile)
    assert [each.seconds for each in file.models] == [60, 90, 7, 600]
    assert [each.seconds for each in parse(MODELS, ModelsFile).models] == [300, 600]


@pytest.mark.parametrize("limit", ["{llm: 0}", "{llm: 3601}", "{film: 5}", "5"])
def test_a_limit_of_a_pipeline_is_one_of_at_most_an_hour(limit: str) -> None:
    with pytest.raises(BrokenFileError, match="wait_seconds"):
        parse(f"wait_seconds: {limit}\n".encode() + MODELS, ModelsFile)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("{pipeline: image-to-video, model: m}", "cannot be offered"),
        ("{pipeline: live-video-to-video, model: m}", "pipeline"),
        ("{pipeline: llm, model: ''}", "model"),
        ("{pipeline: llm, model: m, price_per_unit: -1}", "price_per_unit"),
        ("{pipeline: llm, model: m/llm}", "named twice"),
        ("{pipeline: llm, model: m, min_runner_version: latest}", "min_runner_version"),
    ],
)
def test_a_models_file_names_what_is_wrong_in_it(entry: str, why: str) -> None:
    with pytest.raises(BrokenFileError, match=why):
        parse(MODELS + f"  - {entry}\n".encode(), ModelsFile)
