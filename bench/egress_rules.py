"""What the pure rules of a StartEgress cost, without asyncio, Redis and protobuf.

`python -m bench.egress_rules`. Microseconds, the best of many short series, so that other work on
the machine tells little. A compiled core could make no more than this disappear.
"""

from __future__ import annotations

import itertools
import random
import sys
import timeit
from collections.abc import Callable
from typing import Final

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress import start
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.accounting.resources import need_of
from mediafleet_scheduler.core.egress.attempt import Attempt, Handed, Outcome, Placed, Times
from mediafleet_scheduler.core.egress.placement.order import Order
from mediafleet_scheduler.core.egress.views import Fleet, Worker
from mediafleet_scheduler.psrpc.envelope import Request, decode, encode

FLEETS: Final = (10, 50, 200, 1000)
NOW: Final = 1000.0
JOB: Final = Job("EG", "/rec", "pod", "uid", "pod", RequestType.TRACK, 0.5, "t", NOW)


def picks(pods: int) -> Callable[[], None]:
    """Pick the best of so many pods for a job, which starts and ends."""
    workers = tuple(
        Worker(f"pod-{n}", f"uid-{n}", f"pod-{n}", None, 12.0, None, PodState.READY)
        for n in range(pods)
    )
    placement = Placement(mode=Mode.SPREAD)
    fleet = Fleet("", "rec", placement, frozenset(RequestType), None, workers)
    ledger = Ledger()
    order, touched = Order(fleet, ledger), ledger.watch()
    need, chance = need_of(RequestType.TRACK, placement, None), random.Random(1)
    ids = itertools.count()

    def one() -> None:
        egress_id = f"EG_{next(ids)}"
        order.touch(touched.take())
        uid = order.best(need, NOW, True, (), (), chance)
        assert uid is not None
        ledger.put(JOB._replace(egress_id=egress_id, worker_uid=uid))
        ledger.start(egress_id, NOW, "SRV")
        ledger.drop(egress_id)

    return one


def rules() -> Callable[[], None]:
    """The steps of an attempt that succeeds."""
    times = Times(*[1.0] * 9)

    def one() -> None:
        state, _ = start.begin(Attempt(times, "t", NOW, NOW + 60, NOW), NOW)
        state, _ = start.advance(state, Placed(JOB), NOW)
        start.advance(state, Handed(Outcome.STARTED, "SRV", None), NOW)

    return one


def microseconds(one: Callable[[], object], number: int = 200, series: int = 150) -> float:
    """Of one, in the best series."""
    return min(timeit.repeat(one, number=number, repeat=series)) / number * 1e6


def main() -> None:
    """Measure and print."""
    print(f"Python {sys.version.split()[0]}, microseconds")
    for pods in FLEETS:
        print(f"{microseconds(picks(pods)):6.1f}  a pick among {pods} pods, the start and the end")
    print(f"{microseconds(rules()):6.1f}  the steps of an attempt")
    request = Request("REQ_123456789012", "CLI_123456789012", 1, 2, b"x" * 60)
    data = encode(request)
    print(f"{microseconds(lambda: encode(request)):6.1f}  a request is written")
    print(f"{microseconds(lambda: decode(data, Request)):6.1f}  a request is read")


if __name__ == "__main__":
    main()
