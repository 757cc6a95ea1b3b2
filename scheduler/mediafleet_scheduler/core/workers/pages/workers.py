"""Models, their queues and their workers, as the broker's page shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mediafleet_common.reports.pages.workers import ModelShown, WorkerShown, WorkersPage
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.views import Target, Worker

_DRAINS: Final = "it drains, or its pod is not ready"
_LEFT_OUT: Final = "it failed what it was given, and gets nothing for a while"


def workers_page(dispatcher: Dispatcher, targets: Iterable[Target], now: float) -> WorkersPage:
    """What a dispatcher knows; `targets` are the models that it takes tasks for."""
    workers = sorted(
        dispatcher.workers, key=lambda each: (each.name is None, each.name or "", each.id)
    )
    return WorkersPage(
        models=[_model(each, dispatcher, workers) for each in sorted(targets, key=str)],
        workers=[_worker(each, dispatcher, now) for each in workers],
    )


def _model(target: Target, dispatcher: Dispatcher, workers: Iterable[Worker]) -> ModelShown:
    return ModelShown(
        name=str(target),
        workers=sum(target in each.offers for each in workers),
        capacity=dispatcher.capacity(target),
        in_use=dispatcher.in_use(target),
        leaving=sum(
            dispatcher.load(each.id, target) for each in workers if dispatcher.is_draining(each.id)
        ),
        waiting=dispatcher.waiting(target),
        missed=dispatcher.missed(target),
    )


def _worker(worker: Worker, dispatcher: Dispatcher, now: float) -> WorkerShown:
    why = None
    if dispatcher.is_draining(worker.id):
        why = _DRAINS
    elif dispatcher.is_quarantined(worker.id, now):
        why = _LEFT_OUT
    return WorkerShown(
        id=worker.id.rpartition("/")[2],
        name=worker.name,
        known_as=worker.known_as,
        models={str(target): offer.capacity for target, offer in worker.offers.items()},
        in_use=dispatcher.load(worker.id),
        hardware=list(worker.hardware),
        versions={
            str(target): offer.version for target, offer in worker.offers.items() if offer.version
        },
        why=why,
    )
