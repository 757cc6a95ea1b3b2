"""Workers and tasks that come and go leave nothing in a broker, which runs for months."""

from __future__ import annotations

import itertools

from prometheus_client import CollectorRegistry
from tests.kit.sizes import sizes

from mediafleet_scheduler.broker.metrics import BrokerMetrics
from mediafleet_scheduler.broker.work.counted import Work
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import FULL_WORDS, Answer, Send
from mediafleet_scheduler.core.workers.trail import Trail
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")
MANY = 1000
BOUND = 64
"""Of what is over, so many are held in a heap until they come up."""


def test_a_thousand_workers_and_their_tasks_leave_no_trace() -> None:
    ids = itertools.count(1)
    some, trail = Dispatcher(ids.__next__), Trail(most_ended=0)
    metrics = BrokerMetrics(CollectorRegistry())
    work = Work(metrics.worker_tasks, metrics.worker_seconds, metrics.worker_units)
    before = sizes(some, trail, work)
    for number in range(MANY):
        now, name = 10.0 * number, f"w{number}"
        worker = Worker(name, f"203.0.113.1:{number}", {SD: Offer(2, warm=True)})
        work.connected(worker)
        steps = some.connected(worker, now)
        for task, words in (("done", None), ("full", FULL_WORDS), ("bad", "no"), ("lost", None)):
            id_ = f"{task}-{number}"
            trail.came(id_, SD, None, now)
            steps += some.submitted(id_, SD, now + 5, now, session=f"s{number % 9}")
            for step in [each for each in steps if isinstance(each, Send)]:
                trail.given(step, now)
                work.given(step, now)
                if task == "done":
                    steps += some.succeeded(step.attempt, now + 1)
                elif words is not None:
                    steps += some.failed(step.attempt, words, now + 1)
            steps += some.passed(now + 2)
        steps += some.lost(name, now + 3)
        work.lost(name)
        steps += some.passed(now + 9)
        ended = [each for each in steps if isinstance(each, Answer)]
        assert {each.task.partition("-")[0] for each in ended} == {"done", "full", "bad", "lost"}
        for each in ended:
            trail.answered(each, now)
            work.answered(each, SD, {}, now)
    some.passed(1e9)
    after = sizes(some, trail, work)
    more = {way: count - before.get(way, 0) for way, count in after.items()}
    assert {way: count for way, count in more.items() if count > BOUND} == {}
