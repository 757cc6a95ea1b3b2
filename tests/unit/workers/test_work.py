"""What each worker has done: tasks, time and units, for a pool that shares its earnings."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from tests.kit.figures import Show

from mediafleet_scheduler.broker.metrics import BrokerMetrics
from mediafleet_scheduler.broker.work import counted
from mediafleet_scheduler.broker.work.counted import Work
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import Answer, Ending, Send
from mediafleet_scheduler.core.workers.views import Target, Worker
from mediafleet_scheduler.core.workers.work.units import units

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")
ASR = Target(Pipeline.AUDIO_TO_TEXT, "asr")
POD = Worker("w1", "10.0.0.1:5000", name="media/speech-0", instance="u")
STOCK = Worker("w2", "203.0.113.9:6000")


ALICE = Worker("w3", "203.0.113.9:6001", name="media/made-up", known_as="alice")


@pytest.mark.parametrize(
    ("pipeline", "request_", "expected"),
    [
        (Pipeline.TEXT_TO_IMAGE, {}, 1024 * 1024),
        (Pipeline.TEXT_TO_IMAGE, {"width": 512, "height": "256"}, 512 * 256),
        (Pipeline.TEXT_TO_IMAGE, {"width": 10, "height": 10, "num_images_per_prompt": 3}, 300),
        (Pipeline.TEXT_TO_IMAGE, {"width": -5, "height": True}, 1024 * 1024),
        (Pipeline.TEXT_TO_IMAGE, {"width": 10**8, "height": 10**8}, 10**9),
        (Pipeline.TEXT_TO_IMAGE, {"width": "0", "height": "9" * 12}, 1024 * 1024),
        (Pipeline.LLM, {"max_tokens": 7}, 7),
        (Pipeline.LLM, {"max_tokens": 10**12}, 10**9),
        (Pipeline.LLM, {}, None),
        (Pipeline.TEXT_TO_SPEECH, {"text": "hello"}, 5),
        (Pipeline.TEXT_TO_SPEECH, {"text": 5}, None),
        (Pipeline.AUDIO_TO_TEXT, {"width": 5}, None),
        (Pipeline.AUDIO_TO_TEXT, {"metadata": '{"duration":"12"}'}, 12),
        (Pipeline.AUDIO_TO_TEXT, {"metadata": '{"duration":7}'}, 7),
        (Pipeline.AUDIO_TO_TEXT, {"metadata": '{"duration":99999999999}'}, 10**9),
        (Pipeline.AUDIO_TO_TEXT, {"metadata": '{"duration":"0"}'}, None),
        (Pipeline.AUDIO_TO_TEXT, {"metadata": '{"duration":"1' + " " * 4096 + '"}'}, None),
        (Pipeline.AUDIO_TO_TEXT, {"metadata": "[" * 4096}, None),
        (Pipeline.AUDIO_TO_TEXT, {"metadata": '["duration"]'}, None),
        (Pipeline.AUDIO_TO_TEXT, {"metadata": "no JSON"}, None),
        (Pipeline.AUDIO_TO_TEXT, {"metadata": {"duration": 5}}, None),
        (Pipeline.IMAGE_TO_IMAGE, {"metadata": '{"duration":"12"}'}, None),
    ],
)
def test_units_are_what_the_request_asks_for(
    pipeline: Pipeline, request_: dict[str, Any], expected: int | None
) -> None:
    assert units(pipeline, request_) == expected


class Counted:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        metrics = BrokerMetrics(self.registry)
        self.work = Work(metrics.worker_tasks, metrics.worker_seconds, metrics.worker_units)

    def does(self, worker: str, target: Target, ending: Ending = Ending.DONE) -> None:
        self.work.given(Send(1, "t", worker), 10.0)
        self.work.answered(Answer("t", ending, attempt=1), target, {"width": 2, "height": 3}, 12.5)

    def value(self, what: str, worker: str, target: Target = SD) -> float | None:
        labels = {"worker": worker, "pipeline": target.pipeline.value, "model": target.model}
        return self.registry.get_sample_value(f"mediafleet_broker_worker_{what}_total", labels)


def test_a_task_counts_for_the_worker_that_did_it_by_its_pod_or_its_host() -> None:
    some = Counted()
    some.work.connected(POD)
    some.work.connected(STOCK)
    some.does("w1", SD)
    some.does("w1", SD)
    some.does("w2", ASR)
    what = ("tasks", "seconds", "units")
    assert [some.value(each, "media/speech-0") for each in what] == [2, 5.0, 12]
    # Its request does not say how long the sound is: no unit is counted.
    assert [some.value(each, "203.0.113.9", ASR) for each in what] == [1, 2.5, 0]


def test_what_failed_and_what_nobody_had_counts_for_nobody() -> None:
    some = Counted()
    some.work.connected(POD)
    some.does("w1", SD, Ending.FAILED)
    some.work.answered(Answer("other", Ending.DONE), SD, {}, 5.0)
    assert some.value("tasks", "media/speech-0") is None


def test_who_fails_first_is_not_counted_for_what_the_next_one_does() -> None:
    some = Counted()
    some.work.connected(POD)
    some.work.connected(STOCK)
    some.work.given(Send(1, "t", "w1"), 1.0)
    some.work.given(Send(2, "t", "w2"), 4.0)
    some.work.lost("w1")
    some.work.answered(Answer("t", Ending.DONE, attempt=2), SD, {}, 5.0)
    assert some.value("tasks", "media/speech-0") is None
    assert some.value("seconds", "203.0.113.9") == 1.0


def test_a_worker_that_is_gone_is_counted_for_the_result_that_it_posts_after_all() -> None:
    some = Counted()
    some.work.connected(POD)
    some.work.connected(STOCK)
    some.work.given(Send(1, "t", "w1"), 1.0)
    some.work.lost("w1")
    some.work.given(Send(2, "t", "w2"), 4.0)
    some.work.answered(Answer("t", Ending.DONE, attempt=1), SD, {}, 5.0)
    assert some.value("seconds", "media/speech-0") == 4.0
    assert some.value("tasks", "203.0.113.9") is None


def test_workers_behind_one_nat_are_counted_apart_and_keep_their_numbers() -> None:
    some = Counted()
    first, second, again = (Worker(f"n{n}", f"198.51.100.7:{n}") for n in (1, 2, 3))
    for worker in (first, second):
        some.work.connected(worker)
    some.does("n1", SD)
    some.does("n2", SD)
    some.work.lost("n2")
    some.work.connected(again)
    some.does("n3", SD)
    assert some.value("tasks", "198.51.100.7") == 1
    assert some.value("tasks", "198.51.100.7#2") == 2


def test_a_number_at_a_host_is_free_again_once_its_worker_is_gone() -> None:
    some = Counted()
    for number in (1, 2):
        some.work.connected(Worker(f"n{number}", f"198.51.100.7:{number}"))
    some.work.lost("n1")
    some.work.lost("n1")
    some.work.connected(Worker("n3", "198.51.100.7:3"))
    some.does("n3", SD)
    assert some.value("tasks", "198.51.100.7") == 1


@pytest.mark.parametrize(("models", "most_bytes"), [(1, 300_000), (4, None)])
def test_a_scrape_of_500_pods_has_at_most_12_series_of_each_and_300_kb(
    models: int, most_bytes: int | None, show: Show
) -> None:
    """Each pod of an AIWorkerPool has one runner, and so one model; four are 12 series."""
    # As `mediafleet_common.serving.http` has it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    some = Counted()
    for number in range(500):
        worker = Worker(f"w{number}", "10.0.0.1:5000", name=f"media/ai-workers-{number}")
        some.work.connected(worker)
        for model in range(models):
            target = Target(Pipeline.TEXT_TO_IMAGE, f"SG161222/RealVisXL_V4.0_Lightning{model}")
            some.does(f"w{number}", target)
    before = time.process_time()
    told = generate_latest(some.registry)
    used = time.process_time() - before
    of_one = [line for line in told.splitlines() if b'worker="media/ai-workers-7"' in line]
    show(f"a scrape of 500 AI workers with {models} models: {len(told):,} bytes, {used:.3f} s")
    assert len(of_one) == 3 * models <= 12
    assert most_bytes is None or len(told) <= most_bytes


def test_names_beyond_a_bound_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "MOST_NAMES", 1)
    some = Counted()
    for worker in (POD, STOCK, Worker("w3", "no-port", name="media/x"), POD):
        some.work.connected(worker)
    some.does("w2", SD)
    some.does("w3", SD)
    some.does("w1", SD)
    assert some.value("tasks", counted.OTHERS) == 2
    assert some.value("tasks", "media/speech-0") == 1


def test_a_worker_with_a_secret_of_its_own_is_counted_by_its_name_and_not_by_its_claim() -> None:
    some = Counted()
    some.work.connected(ALICE)
    some.does("w3", SD)
    assert some.value("tasks", "alice") == 1
    assert some.value("tasks", "media/made-up") is None
