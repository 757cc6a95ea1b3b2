"""What brokers of one Redis tell each other, so that each knows a pool's whole demand.

A worker of ours may be registered at several brokers. It is one worker by the pod that it names;
its tasks are those that all brokers gave it. Workers without such a name are counted by broker.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.foreign import read_json
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.pools import Use
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker

Counts = Mapping[Target, int]

_MOST: Final = 10**9


@dataclass(frozen=True, slots=True)
class Part:
    """What one broker has."""

    workers: tuple[tuple[Worker, Counts], ...]
    """Its workers, and the tasks that it gave to each."""
    waiting: Counts
    missed: Counts

    def to_json(self) -> str:
        """As Redis holds it."""
        told = {
            "workers": [
                [each.id, each.name, each.instance, _listed(_offered(each)), _listed(load)]
                for each, load in self.workers
            ],
            "waiting": _listed(self.waiting),
            "missed": _listed(self.missed),
        }
        return json.dumps(told, separators=(",", ":"))


def part_of(dispatcher: Dispatcher, targets: Iterable[Target]) -> Part:
    """What the broker of a dispatcher has, for the models that it takes."""
    known = set(targets)
    return Part(
        tuple(
            (
                dispatcher.as_counted(each),
                {target: dispatcher.load(each.id, target) for target in each.offers},
            )
            for each in dispatcher.workers
        ),
        {target: dispatcher.waiting(target) for target in known},
        {target: dispatcher.missed(target) for target in known},
    )


def part_from(text: str) -> Part | None:
    """What another broker told; `None`: it is no such thing, as of another version."""
    try:
        told = read_json(text)
        workers = tuple(
            (_worker(id_, name, run, offers), dict(_counts(load)))
            for id_, name, run, offers, load in told["workers"]
        )
        return Part(workers, dict(_counts(told["waiting"])), dict(_counts(told["missed"])))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def combined(parts: Mapping[str, Part]) -> tuple[list[Worker], Use]:
    """All workers, each once, and what they do; `parts` by the name of its broker."""
    workers: dict[str, Worker] = {}
    loads: dict[str, Counter[Target]] = {}
    waiting: Counter[Target] = Counter()
    missed: Counter[Target] = Counter()
    for broker, part in sorted(parts.items()):
        waiting.update(part.waiting)
        missed.update(part.missed)
        for worker, load in part.workers:
            key = f"{broker}/{worker.id}"
            if worker.instance is not None:
                key = f"{worker.name} {worker.instance}"
            workers.setdefault(key, replace(worker, id=key))
            loads.setdefault(key, Counter()).update(load)

    def load_of(worker: str, target: Target | None) -> int:
        counts = loads.get(worker, Counter())
        return counts.total() if target is None else counts[target]

    return list(workers.values()), Use(load_of, lambda t: waiting[t], lambda t: missed[t])


def _worker(id_: str, name: str | None, instance: str | None, offers: Any) -> Worker:
    if not all(isinstance(each, str | None) for each in (id_, name, instance)):
        raise ValueError("no name of a worker")
    offered = {target: Offer(capacity) for target, capacity in _counts(offers)}
    return Worker(id_, "", offered, name=name, instance=instance)


def _offered(worker: Worker) -> Counts:
    return {target: offer.capacity for target, offer in worker.offers.items()}


def _listed(counts: Counts) -> list[list[str | int]]:
    return [[target.pipeline.value, target.model, count] for target, count in counts.items()]


def _counts(told: Any) -> Iterable[tuple[Target, int]]:
    for pipeline, model, count in told:
        number = int(count)
        if not 0 <= number <= _MOST:
            raise ValueError("no count of tasks")
        yield Target(Pipeline(pipeline), str(model)), number
